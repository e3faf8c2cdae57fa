using System.Net;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>A node, or one process of it, sends its peers away.</summary>
public sealed class MeshDrainTests
{
    private const int FrameSize = 64 * 1024;

    [Fact]
    public async Task Leave_RangeWaits_EndsWithoutBlame()
    {
        using var setup = new RangeSetup();
        var sample = TestMesh.NewSample(4 * FrameSize);
        setup.Incoming.Downloads = true;
        var stream = setup.Ask(new FetchRange { Id = 1, Digest = sample.Digest.ToString(), Wait = true });
        Assert.True((await stream.NextAsync()).IsWaiting);

        setup.Leave();

        var end = await stream.EndAsync();
        Assert.Equal(RangeStatus.Leaving, end.Status);
        Assert.Equal(["other"], end.Holders);
        Assert.Equal(RangeOutcomeKind.NotHeld, RangeOutcome.Of(end).Kind);
    }

    [Fact]
    public async Task Leave_RangeAskedForLater_IsServedOnANewStreamOnly()
    {
        using var setup = new RangeSetup();
        var sample = TestMesh.NewSample(4 * FrameSize);
        sample.WriteAll(setup.Cache);
        var stream = setup.Ask(new FetchRange { Id = 1, Digest = sample.Digest.ToString() });
        Assert.Equal(RangeStatus.Complete, (await stream.EndAsync()).Status);

        setup.Leave();
        stream.Send(new FetchRangeRequest { Range = new FetchRange { Id = 2, Digest = sample.Digest.ToString() } });

        Assert.Equal(RangeStatus.Leaving, (await stream.EndAsync()).Status);
        var next = setup.Ask(new FetchRange { Id = 1, Digest = sample.Digest.ToString() });
        Assert.Equal(RangeStatus.Complete, (await next.EndAsync()).Status);
    }

    [Fact]
    public async Task Leave_OpenStreams_AreToldAndTheNextOnesAreServed()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1);
        var node = mesh.Nodes[0];
        var sample = mesh.Blob(FrameSize);
        var client = new PeerService.PeerServiceClient(node.Channel);
        using var patience = new CancellationTokenSource(Wait.Longest);
        using var announce = client.Announce(cancellationToken: patience.Token);
        await announce.RequestStream.WriteAsync(Announced(sample, incarnation: 1));
        Assert.True(await announce.ResponseStream.MoveNext(patience.Token));
        using var lookup = client.Lookup(cancellationToken: patience.Token);
        await lookup.RequestStream.WriteAsync(new LookupRequest { Want = new Want { Member = new() { Node = "other", Incarnation = 1 }, Digest = sample.Digest.ToString() } });
        Assert.True(await lookup.ResponseStream.MoveNext(patience.Token));

        node.Get<MeshDrain>().Leave();

        Assert.True(await LastAsync(announce.ResponseStream, patience.Token) is { Leaving: true });
        Assert.True(await LastAsync(lookup.ResponseStream, patience.Token) is { Leaving: true });
        await Wait.UntilAsync(async () =>
        {
            try
            {
                using var next = client.Announce(cancellationToken: patience.Token);
                await next.RequestStream.WriteAsync(Announced(sample, incarnation: 2));
                return await next.ResponseStream.MoveNext(patience.Token) && next.ResponseStream.Current.Acknowledged == 1;
            }
            catch (Exception e) when (e is RpcException or InvalidOperationException)
            {
                return false;
            }
        }, "the next stream is served");
    }

    // It is not the leaving that ended them.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Leave_FaultInALookup_IsToldAsOne(bool isPushing)
    {
        var handler = new FaultyHandler { FailsToPush = isPushing };
        await using var mesh = await TestMesh.StartAsync(customize: services => services.AddSingleton<ILookupHandler>(handler));
        handler.Drain = mesh.Node.Get<MeshDrain>();
        using var patience = new CancellationTokenSource(Wait.Longest);
        using var lookup = new PeerService.PeerServiceClient(mesh.Node.Channel).Lookup(cancellationToken: patience.Token);

        await lookup.RequestStream.WriteAsync(new LookupRequest { Want = new Want { Member = new() { Node = "other", Incarnation = 1 }, Digest = TestMesh.NewSample(1).Digest.ToString() } }, patience.Token);
        if (!isPushing)
        {
            await lookup.RequestStream.WriteAsync(new LookupRequest { Report = new GrantReport() }, patience.Token);
        }

        var fault = await Assert.ThrowsAsync<RpcException>(() => LastAsync(lookup.ResponseStream, patience.Token));
        Assert.Equal(StatusCode.Unknown, fault.StatusCode);
    }

    [Fact]
    public async Task Leave_FaultInAnnouncements_IsToldAsOne()
    {
        var handler = new FaultyHandler();
        await using var mesh = await TestMesh.StartAsync(customize: services => services.AddSingleton<IAnnounceHandler>(handler));
        handler.Drain = mesh.Node.Get<MeshDrain>();
        using var patience = new CancellationTokenSource(Wait.Longest);
        using var announce = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce(cancellationToken: patience.Token);

        await announce.RequestStream.WriteAsync(Announced(TestMesh.NewSample(1), incarnation: 1), patience.Token);

        var fault = await Assert.ThrowsAsync<RpcException>(() => LastAsync(announce.ResponseStream, patience.Token));
        Assert.Equal(StatusCode.Unknown, fault.StatusCode);
    }

    [Fact]
    public async Task Leave_PeersOfTheMesh_AnnounceAgainAndReadOn()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var (owner, holder) = (mesh.Nodes[0], mesh.Nodes[1]);
        var sample = mesh.BlobOwnedBy(300_000, owner.Name);
        (await holder.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, holder.Name) is { Complete: true }, "the owner knows the holder");
        var peer = holder.Get<PeerConnections>().Find(owner.Name)!;
        var failures = Interlocked.Read(ref peer.Traffic.Failures);

        owner.Get<MeshDrain>().Leave();

        var more = mesh.BlobOwnedBy(400_000, owner.Name);
        (await holder.GetAsync(more.Digest)).ShouldBe(more.Bytes);
        await Wait.UntilAsync(
            () => owner.Directory.Find(sample.Digest, holder.Name) is { Complete: true } && owner.Directory.Find(more.Digest, holder.Name) is { Complete: true },
            "the owner knows the holder again");
        Assert.Equal(more.Bytes.Length, mesh.Registry.BytesOf(more.Digest));

        // Who has left asks no owner, for another process answers in its name: it reads the registry itself.
        (await owner.GetAsync(more.Digest)).ShouldBe(more.Bytes);
        Assert.Equal(failures, Interlocked.Read(ref peer.Traffic.Failures));
    }

    private static AnnounceRequest Announced(SampleContent sample, ulong incarnation) => new()
    {
        Sequence = 1,
        Member = new() { Node = "other", Incarnation = incarnation },
        Contents = { new Availability { Digest = sample.Digest.ToString(), Size = sample.Bytes.Length, Complete = true } },
    };

    private static async Task<T?> LastAsync<T>(IAsyncStreamReader<T> stream, CancellationToken cancellationToken)
        where T : class
    {
        T? last = null;
        while (await stream.MoveNext(cancellationToken))
        {
            last = stream.Current;
        }

        return last;
    }

    /// <summary>Fails at what it is told, or to tell something, just after the node began to leave.</summary>
    private sealed class FaultyHandler : IAnnounceHandler, IAnnounceSession, ILookupHandler, ILookupSession
    {
        public MeshDrain? Drain { get; set; }

        public bool FailsToPush { get; init; }

        public CancellationToken Cut => CancellationToken.None;

        public IAnnounceSession? Open(Member member, IPAddress? from) => this;

        public ILookupSession Open(Want want, IPAddress? from = null) => this;

        public bool Apply(AnnounceRequest request) => throw Fault();

        public void Apply(LookupRequest request) => throw Fault();

        public async ValueTask<Digest> NextDiscardAsync(CancellationToken cancellationToken)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return default;
        }

        public async ValueTask<LookupResponse> NextAsync(CancellationToken cancellationToken)
        {
            if (FailsToPush)
            {
                throw Fault();
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return new LookupResponse();
        }

        public void Leave()
        {
        }

        public void Dispose()
        {
        }

        private InvalidOperationException Fault()
        {
            Drain!.Leave();
            return new InvalidOperationException("fails on purpose");
        }
    }
}
