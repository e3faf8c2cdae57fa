using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Peerd.Node.Mesh.Tls;

/// <summary>
/// The connections that members have made to this node, and how long what both ends showed then is valid. After that nothing more is begun
/// on them, and a little later they end: who has another certificate by then has noticed little. Thread-safe.
/// </summary>
internal sealed class MeshCallers(TimeProvider time)
{
    /// <summary>Time for what runs on a connection to end by itself.</summary>
    public static readonly TimeSpan LeaveTime = TimeSpan.FromMinutes(1);

    private readonly ConcurrentDictionary<Caller, bool> _open = new();

    /// <summary>Serves a connection and keeps it in mind until it has ended.</summary>
    public async Task ServeAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var caller = new Caller(connection);
        connection.Features.Set(caller);
        _open.TryAdd(caller, true);
        try
        {
            await next(connection);
        }
        finally
        {
            _open.TryRemove(caller, out _);
        }
    }

    /// <summary>Ends connections whose certificates are not valid any more. Not to be called concurrently.</summary>
    /// <param name="identity">Has the authorities that are trusted now.</param>
    public void EndInvalid(MeshIdentity identity)
    {
        foreach (var caller in _open.Keys)
        {
            try
            {
                EndIfInvalid(caller, identity);
            }
            catch (Exception)
            {
                // The connection is broken, then. Others are still to be ended.
            }
        }
    }

    private void EndIfInvalid(Caller caller, MeshIdentity identity)
    {
        if (caller.LeavingSince is { } since)
        {
            if (time.GetElapsedTime(since) >= LeaveTime)
            {
                caller.Connection.Abort(new ConnectionAbortedException("the certificate of one of the ends is not valid any more"));
            }
        }
        else if (caller.Shown is { } shown && (shown.Expires <= time.GetUtcNow() || !identity.HasAuthority(shown.Authority)))
        {
            caller.LeavingSince = time.GetTimestamp();
            caller.Connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
        }
    }

    /// <summary>A connection and what was shown on it.</summary>
    internal sealed class Caller(ConnectionContext connection)
    {
        private volatile Validity? _shown;

        public ConnectionContext Connection => connection;

        /// <summary>Null before the handshake has ended.</summary>
        public Validity? Shown => _shown;

        public long? LeavingSince { get; set; }

        /// <summary>The member has shown a certificate that is taken.</summary>
        /// <param name="chain">From it to the authority.</param>
        /// <param name="own">What this node has shown.</param>
        public void Show(X509Chain chain, MeshIdentity own)
        {
            var expires = chain.ChainElements.Min(element => new DateTimeOffset(element.Certificate.NotAfter));
            _shown = new Validity(expires < own.Expires ? expires : own.Expires, AuthorityOf(chain.ChainElements[^1].Certificate));
        }

        /// <summary>Tells authorities apart.</summary>
        public static string AuthorityOf(X509Certificate2 certificate) => certificate.GetCertHashString(HashAlgorithmName.SHA256);
    }

    /// <summary>How long the certificates of both ends are valid.</summary>
    /// <param name="Expires">The first moment at which one of them is not.</param>
    /// <param name="Authority">The root that the member's leads to.</param>
    internal sealed record Validity(DateTimeOffset Expires, string Authority);
}
