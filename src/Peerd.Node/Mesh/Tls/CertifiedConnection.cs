using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace Peerd.Node.Mesh.Tls;

/// <summary>A connection that a member has made to this node, and how long what both ends have shown on it is valid. A feature of the connection. Thread-safe.</summary>
internal sealed class CertifiedConnection : IDisposable
{
    /// <summary>By then the caller has heard that nothing more is begun on the connection: what he asks for anew goes to another one.</summary>
    private static readonly TimeSpan HearingTime = TimeSpan.FromSeconds(1);

    /// <summary>The longest that a caller may take to read what is on its way to him when nothing more is written.</summary>
    private static readonly TimeSpan ReadingTime = TimeSpan.FromSeconds(10);

    private readonly ConnectionContext _connection;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _leaving;
    private volatile Validity? _shown;

    public CertifiedConnection(ConnectionContext connection, TimeProvider time)
    {
        (_connection, _time) = (connection, time);
        _leaving = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        Leaving = _leaving.Token;
    }

    /// <summary>Streams that might go on for long are to end.</summary>
    public CancellationToken Leaving { get; }

    /// <summary>The first moment at which a certificate of one of the ends is not valid; null before the handshake has ended.</summary>
    public DateTimeOffset? Expires => _shown?.Expires;

    /// <summary>The root that the member's certificate leads to, see <see cref="MeshIdentity.AuthorityOf"/>; null before the handshake has ended.</summary>
    public string? Authority => _shown?.Authority;

    /// <summary>When it was told to leave.</summary>
    public long? LeavingSince { get; private set; }

    /// <summary>The member has shown a certificate that is taken.</summary>
    /// <param name="chain">From it to the authority.</param>
    /// <param name="own">What this node has shown.</param>
    public void Show(X509Chain chain, MeshIdentity own)
    {
        var expires = chain.ChainElements.Min(element => new DateTimeOffset(element.Certificate.NotAfter));
        _shown = new Validity(expires < own.Expires ? expires : own.Expires, MeshIdentity.AuthorityOf(chain.ChainElements[^1].Certificate));
    }

    /// <summary>Nothing more is begun on it, and a moment later its streams are told to end.</summary>
    public void Leave()
    {
        LeavingSince = _time.GetTimestamp();
        try
        {
            _leaving.CancelAfter(HearingTime);
        }
        catch (ObjectDisposedException)
        {
            // It has ended in the meantime.
        }

        _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.RequestClose();
    }

    /// <summary>
    /// Lets the caller, who goes on telling what he has taken, close the connection: the kernel throws away what is still on its way to him when a
    /// socket is closed of which something was not read. To be called when nothing more is written.
    /// </summary>
    public async Task WaitForCloseAsync()
    {
        using var late = new CancellationTokenSource(ReadingTime, _time);
        try
        {
            for (var isClosed = false; !isClosed;)
            {
                var read = await _connection.Transport.Input.ReadAsync(late.Token);
                isClosed = read.IsCompleted || read.IsCanceled;
                _connection.Transport.Input.AdvanceTo(read.Buffer.End);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or ObjectDisposedException or InvalidOperationException)
        {
            // He has taken too long, or it is closed.
        }
    }

    /// <summary>Cuts it off.</summary>
    public void Abort() => _connection.Abort(new ConnectionAbortedException("the certificate of one of the ends is not valid any more"));

    public void Dispose() => _leaving.Dispose();

    private sealed record Validity(DateTimeOffset Expires, string Authority);
}
