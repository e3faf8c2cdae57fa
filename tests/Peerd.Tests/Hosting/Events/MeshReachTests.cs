using System.Diagnostics.Metrics;
using System.Net;
using Grpc.Core;
using Grpc.Health.V1;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting.Events;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Ring;
using Peerd.Tests.Membership;
using static Grpc.Health.V1.HealthCheckResponse.Types;

namespace Peerd.Tests.Hosting.Events;

/// <summary>Whom a node asks that has no stream to anybody, and what counts as an answer.</summary>
public sealed class MeshReachTests : IAsyncLifetime
{
    // Nobody listens there.
    private const int ClosedPort = 1;

    // Deadlines of calls are points in time, and of the real one.
    private readonly FakeTimeProvider _time = new(TimeProvider.System.GetUtcNow());
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly Bandwidth _bandwidth;
    private WebApplication _other = null!;
    private TestHealth _health = null!;

    public MeshReachTests() => _bandwidth = new Bandwidth(Options.Create(new LimitOptions()), _time);

    public async ValueTask InitializeAsync()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0, listener => listener.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton<TestHealth>();
        _other = builder.Build();
        _other.MapGrpcService<TestHealth>();
        await _other.StartAsync();
        _health = _other.Services.GetRequiredService<TestHealth>();
    }

    public async ValueTask DisposeAsync()
    {
        await _other.DisposeAsync();
        _bandwidth.Dispose();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task Look_OneServes_IsReachedAndNotAskedAllTheTime()
    {
        await using var mesh = await MeshAsync(closed: 3);

        Assert.Equal(new Reach(IsReaching: true, AskedInVain: 0), await mesh.Reach.LookAsync(CancellationToken.None));
        _time.Advance(MeshReach.WhenReached - TimeSpan.FromSeconds(1));
        await mesh.Reach.LookAsync(CancellationToken.None);
        Assert.Equal(1, _health.Asked);

        _time.Advance(TimeSpan.FromSeconds(1));
        await mesh.Reach.LookAsync(CancellationToken.None);
        Assert.Equal(2, _health.Asked);
    }

    [Theory]
    [InlineData(ServingStatus.NotServing, StatusCode.OK)]
    [InlineData(ServingStatus.Unknown, StatusCode.OK)]
    [InlineData(ServingStatus.Serving, StatusCode.NotFound)]
    [InlineData(ServingStatus.Serving, StatusCode.Unimplemented)]
    [InlineData(ServingStatus.Serving, StatusCode.Unavailable)]
    public async Task Look_AnswersButDoesNotServe_IsNotReached(ServingStatus status, StatusCode code)
    {
        (_health.Status, _health.Code) = (status, code);
        await using var mesh = await MeshAsync(closed: 3);

        Assert.Equal(new Reach(IsReaching: false, AskedInVain: 4), await mesh.Reach.LookAsync(CancellationToken.None));
        Assert.Equal(1, _health.Asked);
    }

    [Fact]
    public async Task Look_NobodyServes_OthersAreAskedEachTimeUntilAllWere()
    {
        await using var mesh = await MeshAsync(closed: 39);
        _health.Status = ServingStatus.NotServing;
        foreach (var asked in new[] { MeshReach.AtOneTime, 2 * MeshReach.AtOneTime, 40, 40 })
        {
            Assert.Equal(new Reach(IsReaching: false, asked), await mesh.Reach.LookAsync(CancellationToken.None));
            _time.Advance(MeshReach.WhenNot);
        }

        // One of many that serves is found in the end.
        _health.Status = ServingStatus.Serving;
        await Wait.UntilAsync(
            async () =>
            {
                _time.Advance(MeshReach.WhenNot);
                return await mesh.Reach.LookAsync(CancellationToken.None) == new Reach(IsReaching: true, AskedInVain: 0);
            },
            "it is reached");
    }

    [Fact]
    public async Task Look_OneWasReached_FewAreAskedAndMoreOnlyInVain()
    {
        await using var mesh = await MeshAsync(closed: 0, others: 40);
        await mesh.Reach.LookAsync(CancellationToken.None);
        Assert.Equal(MeshReach.AtOneTime, _health.Asked);

        _time.Advance(MeshReach.WhenReached);
        Assert.Equal(new Reach(IsReaching: true, AskedInVain: 0), await mesh.Reach.LookAsync(CancellationToken.None));
        Assert.Equal(MeshReach.AtOneTime + MeshReach.AtFirst, _health.Asked);

        _health.Status = ServingStatus.NotServing;
        _time.Advance(MeshReach.WhenReached);
        Assert.Equal(new Reach(IsReaching: false, MeshReach.AtFirst + MeshReach.AtOneTime), await mesh.Reach.LookAsync(CancellationToken.None));
        Assert.Equal(2 * (MeshReach.AtOneTime + MeshReach.AtFirst), _health.Asked);
    }

    [Fact]
    public async Task Look_ThereAreNoOthers_SaysNothing()
    {
        await using var mesh = await MeshAsync(closed: 0, others: 0);

        Assert.Equal(default, await mesh.Reach.LookAsync(CancellationToken.None));
    }

    // The members: this node, the one that answers, by as many names, and some whose ports are closed.
    private async Task<Mesh> MeshAsync(int closed, int others = 1)
    {
        var port = new Uri(_other.Urls.Single()).Port;
        var members = Enumerable.Range(1, closed).Select(i => new Member($"closed-{i}", new DnsEndPoint($"127.0.1.{i}", ClosedPort), string.Empty))
            .Concat(Enumerable.Range(1, others).Select(i => new Member($"other-{i}", new DnsEndPoint("127.0.0.1", port), string.Empty)));
        var list = new MemberList(members.Append(new Member("self", new DnsEndPoint("127.0.0.1", ClosedPort), string.Empty)));
        var rings = new RingSource(new TestMembership(list), _time, NullLogger<RingSource>.Instance);
        var peers = new PeerConnections(
            rings,
            new NodeIdentity("self", 1, string.Empty),
            Options.Create(new MeshOptions()),
            new PeerTraffic(),
            new MeshMetrics(_services.GetRequiredService<IMeterFactory>()),
            MeshTls.Off,
            _bandwidth,
            _time);
        await rings.StartAsync(CancellationToken.None);
        await peers.StartAsync(CancellationToken.None);
        await Wait.UntilAsync(() => peers.All.Count == list.Members.Count - 1, "the members are known");
        return new Mesh(rings, peers, new MeshReach(peers, new Random(1), _time));
    }

    /// <summary>What a node knows of its mesh.</summary>
    private sealed record Mesh(RingSource Rings, PeerConnections Peers, MeshReach Reach) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Peers.StopAsync(CancellationToken.None);
            await Rings.StopAsync(CancellationToken.None);
            Peers.Dispose();
            Rings.Dispose();
        }
    }

    /// <summary>The service of health of a node that says what the test wants.</summary>
    private sealed class TestHealth : Health.HealthBase
    {
        private int _asked;

        public ServingStatus Status { get; set; } = ServingStatus.Serving;

        public StatusCode Code { get; set; } = StatusCode.OK;

        public int Asked => Volatile.Read(ref _asked);

        public override Task<HealthCheckResponse> Check(HealthCheckRequest request, ServerCallContext context)
        {
            Interlocked.Increment(ref _asked);
            return Code == StatusCode.OK ? Task.FromResult(new HealthCheckResponse { Status = Status }) : throw new RpcException(new Status(Code, string.Empty));
        }
    }
}
