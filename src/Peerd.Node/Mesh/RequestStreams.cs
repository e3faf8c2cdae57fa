using Google.Protobuf;
using Grpc.Core;

namespace Peerd.Node.Mesh;

/// <summary>Sends the messages of a call.</summary>
internal static class RequestStreams
{
    /// <summary>Sends a message, and fails with nothing but what a broken stream fails with.</summary>
    /// <exception cref="IOException">
    /// The peer ended the stream while the message was written; or just when it began to wait for room in its window, where the runtime's
    /// HTTP/2 (Http2Stream.SendDataAsync) looks at who waits without its lock.
    /// </exception>
    public static async Task SendAsync<T>(this IClientStreamWriter<T> requests, T message, CancellationToken cancellationToken)
        where T : IMessage
    {
        try
        {
            await requests.WriteAsync(message, cancellationToken);
        }
        catch (HttpRequestException e)
        {
            // Of a reset that came in the middle of it; what comes later is told as RpcException.
            throw new IOException(e.Message, e);
        }
        catch (NullReferenceException e)
        {
            // Where it came from cannot be told from the trace of a native program; a message that cannot be serialized fails here again.
            _ = message.ToByteArray();
            throw new IOException("the stream ended while a message waited to be sent", e);
        }
    }
}
