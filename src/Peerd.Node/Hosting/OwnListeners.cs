using System.Collections.Concurrent;
using System.Net;
using Grpc.Core;
using Grpc.Health.V1;
using Peerd.Node.Facade;
using Peerd.Node.Membership;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Node.Hosting;

/// <summary>
/// Whether the listeners of this node answer: each is asked as its clients ask it, over a connection made for that, since one that is
/// open already tells nothing of a listener. One that has all the connections that it may is not asked, and counts as what it was
/// when it was asked last: were a node not ready because many use it, an upgrade would start it anew. Thread-safe.
/// </summary>
internal sealed class OwnListeners(Listeners listeners, OwnRequest facade, MeshTls tls, NodeIdentity self, TimeProvider time)
{
    /// <summary>A listener that needs longer for an answer does not answer.</summary>
    public static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(2);

    /// <summary>What was wrong when a listener was asked last; nothing of those that never were.</summary>
    private readonly ConcurrentDictionary<ListenerKind, string> _faults = new();

    /// <summary>Asks both; null when both answer, else what is wrong, for people. Takes <see cref="AnswerTime"/> at most, and never throws.</summary>
    public async Task<string?> FaultAsync()
    {
        var faults = await Task.WhenAll(
            FaultAsync("facade", ListenerKind.Facade, listeners.Facade, facade.FaultAsync),
            FaultAsync("mesh", ListenerKind.Mesh, listeners.Mesh, MeshFaultAsync));
        return Array.Find(faults, fault => fault is not null);
    }

    private async Task<string?> FaultAsync(string what, ListenerKind kind, IPEndPoint listening, Func<IPEndPoint, CancellationToken, Task<string?>> ask)
    {
        if (listeners.IsFull(kind))
        {
            // It would be closed as others are, and counted among those.
            return _faults.GetValueOrDefault(kind);
        }

        using var deadline = new CancellationTokenSource(AnswerTime, time);
        string? fault;
        try
        {
            fault = await ask(ListenAddress.FromThisMachine(listening), deadline.Token);
        }
        catch (OperationCanceledException)
        {
            fault = $"it has not answered within {AnswerTime.TotalSeconds:0} s";
        }
        catch (Exception e)
        {
            // No socket can be made, say: whoever asks wants to hear that, too.
            fault = $"it could not be asked ({e.GetType().Name}: {e.Message})";
        }

        if (fault is null)
        {
            _faults.TryRemove(kind, out _);
            return null;
        }

        // It may have become full only now.
        return listeners.IsFull(kind) ? _faults.GetValueOrDefault(kind) : _faults[kind] = $"the listener of the {what}, {listening}: {fault}";
    }

    private async Task<string?> MeshFaultAsync(IPEndPoint mesh, CancellationToken cancellationToken)
    {
        using var channel = MeshChannel.Open(mesh.ToString(), tls, self.Name, static () => new SocketsHttpHandler { ActivityHeadersPropagator = null, UseProxy = false, UseCookies = false });
        try
        {
            // Any answer of the service is one: whether there is a ring is seen without asking.
            await new Health.HealthClient(channel).CheckAsync(new HealthCheckRequest(), new CallOptions(cancellationToken: cancellationToken));
            return null;
        }
        catch (RpcException) when (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException(cancellationToken);
        }
        catch (RpcException e)
        {
            return $"it does not answer ({e.StatusCode})";
        }
    }
}
