using System.Net;
using System.Net.Sockets;
using Grpc.Core;
using Grpc.Health.V1;
using Peerd.Node.Facade;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Node.Hosting;

/// <summary>
/// Whether the listeners of this node answer: each is asked as its clients ask it, over a connection made for that, since one that is
/// open already tells nothing of a listener. That connection is beside those that the listener may have, so that one with all of them
/// is asked like any other: it is not for many who use it that a node is not ready, nor can one that hangs seem well. Thread-safe.
/// </summary>
internal sealed class OwnListeners(Listeners listeners, OwnConnections connections, OwnRequest facade, MeshTls tls, NodeIdentity self, TimeProvider time)
{
    /// <summary>A listener that needs longer for an answer does not answer.</summary>
    public static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(2);

    /// <summary>Asks both; null when both answer, else what is wrong, for people. Takes <see cref="AnswerTime"/> at most, and never throws.</summary>
    public async Task<string?> FaultAsync()
    {
        var faults = await Task.WhenAll(
            FaultAsync("facade", listeners.Facade, facade.FaultAsync),
            FaultAsync("mesh", listeners.Mesh, MeshFaultAsync));
        return Array.Find(faults, fault => fault is not null);
    }

    private async Task<string?> FaultAsync(string what, IPEndPoint listening, Func<IPEndPoint, CancellationToken, Task<string?>> ask)
    {
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

        return fault is null ? null : $"the listener of the {what}, {listening}: {fault}";
    }

    private async Task<string?> MeshFaultAsync(IPEndPoint mesh, CancellationToken cancellationToken)
    {
        try
        {
            using var connection = await connections.ConnectAsync(mesh, cancellationToken);
            using var channel = MeshChannel.Open(mesh.ToString(), tls, self.Name, () => new SocketsHttpHandler
            {
                ActivityHeadersPropagator = null,
                UseProxy = false,
                UseCookies = false,
                ConnectCallback = (_, _) => ValueTask.FromResult<Stream>(new NetworkStream(connection.Socket, ownsSocket: true)),
            });

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
        catch (SocketException e)
        {
            return $"it cannot be reached ({e.SocketErrorCode})";
        }
    }
}
