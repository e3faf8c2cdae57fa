using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Peerd.Contracts.V1;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Cluster;

/// <summary>What a running node says of its ring.</summary>
internal sealed class RingWatch : IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly PeerdNode _node;
    private readonly GrpcChannel _channel;

    public RingWatch(PeerdNode node)
    {
        _node = node;
        _channel = GrpcChannel.ForAddress(node.Mesh);
    }

    /// <summary>How many rings it has had since it was started.</summary>
    public int Rings => _node.Process.Output.Count(line => line.Contains("The ring is now", StringComparison.Ordinal));

    /// <summary>Waits for a ring.</summary>
    /// <param name="version">Its version.</param>
    /// <param name="since">From when on time counts.</param>
    /// <param name="cancellationToken">Ends waiting.</param>
    /// <returns>How long it took.</returns>
    /// <exception cref="TimeoutException">The node has another one, and keeps it.</exception>
    public async Task<TimeSpan> UntilAsync(string version, long since, CancellationToken cancellationToken)
    {
        while (await VersionAsync(cancellationToken) != version)
        {
            if (Stopwatch.GetElapsedTime(since) > Patience)
            {
                throw new TimeoutException($"the ring of {_node.Name} is not that of the cluster after {Patience.TotalSeconds:0} s.\n{_node.Process.Tail()}");
            }

            await Task.Delay(Pause, cancellationToken);
        }

        return Stopwatch.GetElapsedTime(since);
    }

    public void Dispose() => _channel.Dispose();

    private async Task<string> VersionAsync(CancellationToken cancellationToken)
    {
        try
        {
            var options = new CallOptions(deadline: TimeProvider.System.GetUtcNow().UtcDateTime + Patience, cancellationToken: cancellationToken);
            return (await new NodeService.NodeServiceClient(_channel).GetStatusAsync(new GetStatusRequest(), options)).RingVersion;
        }
        catch (RpcException e) when (e.StatusCode == StatusCode.Unavailable)
        {
            // It does not listen yet.
            return string.Empty;
        }
    }
}
