using System.Runtime.CompilerServices;
using Grpc.Core;

namespace Peerd.Node.Mesh;

/// <summary>Reads the messages of a stream whose connection may have to go.</summary>
internal static class LeavingReader
{
    /// <summary>All messages that come until the connection is to go. After that the stream ends as if the caller had said all: he opens another one.</summary>
    public static async IAsyncEnumerable<T> ReadUntilAsync<T>(this IAsyncStreamReader<T> messages, CancellationToken leaving, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, leaving);
        while (await MoveNextAsync())
        {
            yield return messages.Current;
        }

        async Task<bool> MoveNextAsync()
        {
            try
            {
                return await messages.MoveNext(either.Token);
            }
            catch (OperationCanceledException) when (leaving.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                return false;
            }
        }
    }
}
