using Google.Protobuf;
using Grpc.Core;

namespace Peerd.Node.Mesh;

/// <summary>Sends the messages of a call.</summary>
internal static class RequestStreams
{
    /// <summary>Sends a message, and fails with nothing but what a broken stream fails with.</summary>
    /// <exception cref="IOException">The stream ended just when the message began to wait for room in its window: the runtime's HTTP/2 (Http2Stream.SendDataAsync) looks at who waits without its lock.</exception>
    public static async Task SendAsync<T>(this IClientStreamWriter<T> requests, T message, CancellationToken cancellationToken)
        where T : IMessage
    {
        try
        {
            await requests.WriteAsync(message, cancellationToken);
        }
        catch (NullReferenceException e)
        {
            // Where it came from cannot be told from the trace of a native program; a message that cannot be serialized fails here again.
            _ = message.ToByteArray();
            throw new IOException("the stream ended while a message waited to be sent", e);
        }
    }
}
