using System.Net;
using Peerd.Node.Hosting;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;

namespace Peerd.Node.Cli.Demo;

/// <summary>Starts whole nodes in this process: own ports, own caches, one list of members.</summary>
internal static class DemoNodes
{
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(10);

    public static async Task<IReadOnlyList<IDemoNode>> StartAsync(DemoNodesRequest request, CancellationToken cancellationToken)
    {
        var membership = new DemoMembership();
        var nodes = new List<IDemoNode>();
        try
        {
            for (var i = 1; i <= request.Count; i++)
            {
                nodes.Add(await DemoNode.StartAsync($"node-{i}", request, membership, cancellationToken));
            }

            membership.Publish(nodes.Cast<DemoNode>().Select(node => node.Member));
            foreach (var node in nodes.Cast<DemoNode>())
            {
                await node.WaitForMembersAsync(request.Count, cancellationToken);
            }
        }
        catch
        {
            try
            {
                await StopAsync(nodes, TimeProvider.System);
            }
            catch (Exception)
            {
                // Why they could not start says more.
            }

            throw;
        }

        return nodes;
    }

    /// <summary>Stops all at the same time.</summary>
    /// <exception cref="TimeoutException">They take too long.</exception>
    public static Task StopAsync(IEnumerable<IDemoNode> nodes, TimeProvider time) =>
        Task.WhenAll(nodes.Select(node => Task.Run(async () => await node.DisposeAsync()))).WaitAsync(StopLimit, time, CancellationToken.None);

    /// <summary>Members are known only when all nodes have their ports.</summary>
    private sealed class DemoMembership : IMembershipSource
    {
        private readonly Latest<MemberList> _lists = new(MemberList.Empty);

        public void Publish(IEnumerable<Member> members) => _lists.Publish(new MemberList(members));

        public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => _lists.WatchAsync(cancellationToken);
    }

    private sealed class DemoNode(string name, WebApplication host) : IDemoNode
    {
        private readonly Listeners _listeners = host.Services.GetRequiredService<Listeners>();

        public string Name => name;

        public Uri Facade => new($"http://{_listeners.Facade}");

        public Member Member => new(name, new DnsEndPoint(_listeners.Mesh.Address.ToString(), _listeners.Mesh.Port), string.Empty);

        public NodeTraffic Traffic
        {
            get
            {
                var origin = host.Services.GetRequiredService<OriginMetrics>().ReadBytes;
                var peers = host.Services.GetRequiredService<MeshMetrics>().ReceivedBytes;
                return new NodeTraffic(origin, peers, 0);
            }
        }

        public static async Task<DemoNode> StartAsync(string name, DemoNodesRequest request, DemoMembership membership, CancellationToken cancellationToken)
        {
            var host = NodeHost.Create(
                [
                    $"--Peerd:Node:Name={name}",
                    "--Peerd:Facade:Listen=127.0.0.1:0",
                    "--Peerd:Mesh:Listen=127.0.0.1:0",
                    "--Peerd:Metrics:Listen=127.0.0.1:0",

                    // All nodes are one process, and what is held is counted by process.
                    "--Peerd:Limits:Memory=0",
                    $"--Peerd:Cache:Directory={Path.Combine(request.RootFolder, name)}",
                    $"--Peerd:Origin:Registries:0:Name={request.Registry}",
                    $"--Peerd:Origin:Registries:0:Endpoint={request.RegistryEndpoint}",
                ],
                config: null,
                builder =>
                {
                    builder.Services.AddSingleton<IMembershipSource>(membership);

                    // Standard output is for the progress and the report.
                    builder.Logging.ClearProviders();
                });
            try
            {
                await host.StartAsync(cancellationToken);
            }
            catch
            {
                await host.DisposeAsync();
                throw;
            }

            return new DemoNode(name, host);
        }

        public async Task WaitForMembersAsync(int count, CancellationToken cancellationToken)
        {
            await foreach (var ring in host.Services.GetRequiredService<Ring.RingSource>().WatchAsync(cancellationToken))
            {
                if (ring.Count == count)
                {
                    return;
                }
            }
        }

        public async ValueTask DisposeAsync()
        {
            await host.StopAsync();
            await host.DisposeAsync();
        }
    }
}
