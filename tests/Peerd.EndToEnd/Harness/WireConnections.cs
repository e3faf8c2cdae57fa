using System.Collections.Concurrent;

namespace Peerd.EndToEnd.Harness;

/// <summary>Keeps connections that are done with one request for the next one, as long as the server lets them live. Thread-safe.</summary>
internal sealed class WireConnections : IDisposable
{
    private readonly ConcurrentDictionary<string, ConcurrentBag<WireConnection>> _idle = new(StringComparer.Ordinal);

    /// <summary>A connection for one request.</summary>
    /// <param name="authority">Host and port.</param>
    /// <param name="cancellationToken">Ends waiting.</param>
    public async Task<WireConnection> TakeAsync(string authority, CancellationToken cancellationToken)
    {
        while (IdleTo(authority).TryTake(out var connection))
        {
            if (connection.IsAlive)
            {
                return connection;
            }

            connection.Dispose();
        }

        return await WireConnection.ConnectAsync(authority, cancellationToken);
    }

    /// <summary>Takes a connection back, or ends it when its answer was not read to the end.</summary>
    public void Return(WireConnection connection)
    {
        if (connection.IsIdle)
        {
            IdleTo(connection.Authority).Add(connection);
        }
        else
        {
            connection.Dispose();
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        foreach (var connection in _idle.Values.SelectMany(idle => idle))
        {
            connection.Dispose();
        }
    }

    private ConcurrentBag<WireConnection> IdleTo(string authority) => _idle.GetOrAdd(authority, _ => []);
}
