using System.Net;
using System.Text;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Benchmarks.Cluster;

/// <summary>
/// A cluster that is nothing but its API server: nodes come, go, and say that they are well. Their addresses are of loopback, and
/// nobody listens there. Used by one caller at a time.
/// </summary>
internal sealed class PlayedCluster : IAsyncDisposable
{
    // Of loopback, but none that anybody uses.
    private const int FirstAddress = (127 << 24) | (1 << 16);

    private readonly ClusterApi _api;
    private readonly Queue<int> _alive = new();
    private readonly string _self;
    private readonly TimeProvider _time = TimeProvider.System;
    private int _next;

    private PlayedCluster(ClusterApi api, string self)
    {
        _api = api;
        _self = self;
    }

    /// <summary>With which a pod of this cluster asks the API server.</summary>
    public ServiceAccount Account => _api.Account;

    /// <summary>Version of the ring of all nodes of the moment.</summary>
    public string RingVersion => new HashRing(Members).Version;

    /// <summary>All nodes of the moment.</summary>
    public MemberList Members => new(_alive.Select(ClusterNode.NameOf).Append(_self).Select(name => new Member(name, new DnsEndPoint("127.0.0.1", 1), string.Empty)));

    /// <summary>Bytes of one node, as it is told.</summary>
    public static int BytesOfNode => Encoding.UTF8.GetByteCount(Create(1, TimeProvider.System.GetUtcNow()).ToJsonString());

    /// <summary>Starts the API server.</summary>
    /// <param name="lab">Has the files of the account.</param>
    /// <param name="self">The node that runs: one of them.</param>
    /// <param name="nodes">How many there are.</param>
    public static async Task<PlayedCluster> StartAsync(Lab lab, PeerdNode self, int nodes)
    {
        var cluster = new PlayedCluster(await ClusterApi.StartAsync(lab, self.Name), self.Name);
        cluster._api.Server.Nodes.Set(ClusterNode.Create(self.Name, self.Mesh.Host, number: 0, cluster._time.GetUtcNow()));
        while (cluster._alive.Count + 1 < nodes)
        {
            cluster.Add();
        }

        return cluster;
    }

    /// <summary>Lists have no answer until the returned action is called.</summary>
    public Action HoldLists()
    {
        var hold = _api.Server.HoldLists = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        return () =>
        {
            _api.Server.HoldLists = null;
            hold.SetResult();
        };
    }

    /// <summary>A new node comes.</summary>
    public void Add()
    {
        _alive.Enqueue(++_next);
        _api.Server.Nodes.Set(Create(_next, _time.GetUtcNow()));
    }

    /// <summary>The oldest node goes.</summary>
    public void Remove() => _api.Server.Nodes.Remove(ClusterNode.NameOf(_alive.Dequeue()));

    /// <summary>A node says that it is as well as before.</summary>
    public void Heartbeat()
    {
        var number = _alive.Dequeue();
        _alive.Enqueue(number);
        _api.Server.Nodes.Set(Create(number, _time.GetUtcNow()));
    }

    /// <inheritdoc />
    public ValueTask DisposeAsync() => _api.DisposeAsync();

    private static System.Text.Json.Nodes.JsonObject Create(int number, DateTimeOffset heartbeat) =>
        ClusterNode.Create(ClusterNode.NameOf(number), new IPAddress(IPAddress.HostToNetworkOrder(FirstAddress + number) & 0xFFFF_FFFFL).ToString(), number, heartbeat);
}
