using System.Diagnostics.Metrics;
using System.Net;
using Grpc.Core;
using Grpc.Health.V1;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;
using Member = Peerd.Node.Membership.Member;

namespace Peerd.Tests.Mesh;

/// <summary>Calls without end of health, reflection and what commands ask.</summary>
public sealed class ServiceCallsTests
{
    private static readonly IPAddress Greedy = IPAddress.Parse("10.0.0.1");
    private static readonly IPAddress Modest = IPAddress.Parse("10.0.0.2");

    [Fact]
    public async Task TryEnter_OneCallerCallsWithoutEnd_HasSoManyInASecondAndOthersAreServed()
    {
        await using var setup = await Setup.StartAsync();

        Assert.Equal(ServiceCalls.AtOnce, setup.Count(1000, Greedy));
        Assert.Equal(1, setup.Count(1, Modest));
        setup.Time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal(ServiceCalls.PerSecond, setup.Count(1000, Greedy));
        setup.Time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(ServiceCalls.AtOnce, setup.Count(1000, Greedy));
    }

    [Fact]
    public async Task TryEnter_OneCallerTakesNoAnswers_HasSoManyPlaces()
    {
        await using var setup = await Setup.StartAsync();
        var places = new List<ServiceCalls.Place>();
        for (var i = 0; i < 10; i++)
        {
            while (setup.Calls.TryEnter(Greedy) is { } place)
            {
                places.Add(place);
            }

            setup.Time.Advance(TimeSpan.FromMinutes(1));
        }

        Assert.Equal(ServiceCalls.MaxOpen, places.Count);
        Assert.Equal(1, setup.Count(1, Modest));
        places.ForEach(place => place.Dispose());
        Assert.NotNull(setup.Calls.TryEnter(Greedy));
    }

    [Fact]
    public async Task TryEnter_ManyCallers_HaveSoManyInASecondAndThisMachineHasItsOwn()
    {
        await using var setup = await Setup.StartAsync();

        Assert.Equal(ServiceCalls.AtOnceOfAll, Enumerable.Range(0, 2000).Sum(i => setup.Count(1, new IPAddress([10, 1, (byte)(i >> 8), (byte)i]))));
        Assert.Equal(ServiceCalls.AtOnceOfAll, setup.Count(2000, IPAddress.Loopback));
        Assert.Equal(0, setup.Count(1, IPAddress.Parse("127.0.0.2")));
    }

    [Fact]
    public async Task TryEnter_OneNetworkOfIPv6_IsOneCallerAndAMemberInItAnother()
    {
        await using var setup = await Setup.StartAsync(new Member("other", new DnsEndPoint("fd00:1::2", 1), string.Empty));

        Assert.Equal(ServiceCalls.AtOnce, Enumerable.Range(3, 1000).Sum(i => setup.Count(1, IPAddress.Parse($"fd00:1::{i:x}"))));
        Assert.Equal(1, setup.Count(1, IPAddress.Parse("fd00:1::2")));
        Assert.Equal(1, setup.Count(1, IPAddress.Parse("fd00:1:0:1::3")));
    }

    [Fact]
    public async Task Check_TooManyCalls_IsResourceExhaustedAndTheNodeKnowsThatItAnswers()
    {
        var time = new FakeTimeProvider();
        await using var mesh = await TestMesh.StartAsync(nodes: 2, customize: services => services
            .AddSingleton(provider => new ServiceCalls(provider.GetRequiredService<RingSource>(), provider.GetRequiredService<MeshMetrics>(), time)));
        Use(mesh.Node);

        var refused = await Assert.ThrowsAsync<RpcException>(async () => await new Health.HealthClient(mesh.Node.Channel).CheckAsync(new HealthCheckRequest()));
        Assert.Equal((StatusCode.ResourceExhausted, "too many calls"), (refused.StatusCode, refused.Status.Detail));
        Assert.Null(await mesh.Node.Get<OwnListeners>().FaultAsync());
        var peer = mesh.Nodes[1].Get<PeerConnections>().All.Single(peer => peer.Member.Name == mesh.Node.Name);
        Assert.True(await peer.ServesAsync(Wait.Longest, CancellationToken.None));

        static void Use(TestNode node)
        {
            while (node.Get<ServiceCalls>().TryEnter(IPAddress.Loopback) is { } place)
            {
                place.Dispose();
            }
        }
    }

    private sealed class Setup : IAsyncDisposable
    {
        private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        private readonly RingSource _rings;

        private Setup(MemberList members)
        {
            _rings = new RingSource(new TestMembership(members), TimeProvider.System, NullLogger<RingSource>.Instance);
            Calls = new ServiceCalls(_rings, new MeshMetrics(_meters.GetRequiredService<IMeterFactory>()), Time);
        }

        public FakeTimeProvider Time { get; } = new();

        public ServiceCalls Calls { get; }

        public static async Task<Setup> StartAsync(params Member[] members)
        {
            var setup = new Setup(new MemberList(members));
            await setup._rings.StartAsync(TestContext.Current.CancellationToken);
            await Wait.UntilAsync(() => setup._rings.Current.Count == members.Length, "the list is known");
            return setup;
        }

        /// <summary>So many of these calls, each of which ends at once, are served.</summary>
        public int Count(int calls, IPAddress address)
        {
            var served = 0;
            for (var i = 0; i < calls; i++)
            {
                using var place = Calls.TryEnter(address);
                served += place is null ? 0 : 1;
            }

            return served;
        }

        public async ValueTask DisposeAsync()
        {
            await _rings.StopAsync(CancellationToken.None);
            _rings.Dispose();
            Calls.Dispose();
            await _meters.DisposeAsync();
        }
    }
}
