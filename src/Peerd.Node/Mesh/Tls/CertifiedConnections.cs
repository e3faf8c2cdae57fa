using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace Peerd.Node.Mesh.Tls;

/// <summary>
/// The connections that members have made to this node. When what one of the ends has shown on one is not valid any more, nothing more is
/// begun on it, its streams end as soon as they can, and what is left of it is cut off: who has another certificate by then makes another
/// connection, and loses nothing. Thread-safe.
/// </summary>
internal sealed partial class CertifiedConnections(TimeProvider time, ILogger<CertifiedConnections> logger)
{
    /// <summary>Time for what runs on a connection to end by itself: twice what a range may take, unless it is set otherwise.</summary>
    public static readonly TimeSpan LeaveTime = TimeSpan.FromMinutes(2);

    private readonly ConcurrentDictionary<CertifiedConnection, bool> _open = new();
    private bool _hasFailed;

    /// <summary>Serves a connection and keeps it in mind until it has ended.</summary>
    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        using var certified = new CertifiedConnection(connection, time);
        connection.Features.Set(certified);
        _open.TryAdd(certified, true);
        try
        {
            await next(connection);
            if (certified.LeavingSince is not null)
            {
                await certified.WaitForCloseAsync();
            }
        }
        finally
        {
            _open.TryRemove(certified, out _);
        }
    }

    /// <summary>Ends connections whose certificates are not valid any more. Not to be called concurrently.</summary>
    /// <param name="identity">Has the authorities that are trusted now.</param>
    public void EndInvalid(MeshIdentity identity)
    {
        foreach (var connection in _open.Keys)
        {
            try
            {
                EndIfInvalid(connection, identity);
            }
            catch (Exception e)
            {
                // One connection that just ends by itself, say, must not keep others, or end the reading of certificates.
                if (!_hasFailed)
                {
                    _hasFailed = true;
                    Log.NotEnded(logger, e);
                }
            }
        }
    }

    private void EndIfInvalid(CertifiedConnection connection, MeshIdentity identity)
    {
        if (connection.LeavingSince is { } since)
        {
            if (time.GetElapsedTime(since) >= LeaveTime)
            {
                connection.Abort();
            }
        }
        else if (connection.Expires <= time.GetUtcNow() || (connection.Authority is { } authority && !identity.HasAuthority(authority)))
        {
            connection.Leave();
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Warning, "A connection of the mesh whose certificates are not valid any more did not end as it should")]
        public static partial void NotEnded(ILogger logger, Exception exception);
    }
}
