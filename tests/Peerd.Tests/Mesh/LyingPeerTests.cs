using System.Diagnostics.Metrics;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>A member that means harm, written against the protos, beside a pull that must not suffer from it.</summary>
public sealed class LyingPeerTests
{
    private const int Size = 700_000;

    [Fact]
    public async Task Peer_AnnouncesWhatItLacks_EveryPullIsRightAndItIsNotAskedForEver()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        foreach (var node in mesh.Nodes)
        {
            var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            await mesh.Peer.AnnounceAsync(mesh.Node, sample);
            var before = mesh.Peer.RangesAsked;

            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

            Assert.InRange(mesh.Peer.RangesAsked - before, 0, 2 * sample.Layout.PieceCount);
        }
    }

    [Fact]
    public async Task Peer_SendsBytesThatItsOwnChecksumsContradict_IsBlamedAndNotAskedForOtherContents()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var (first, second) = (mesh.BlobOwnedBy(Size, mesh.Node.Name), mesh.BlobOwnedBy(Size, mesh.Node.Name));
        await mesh.Peer.AnnounceAsync(mesh.Node, first);
        using var ejections = Ejections(mesh.Node);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            var honest = FakePeer.Honest(range, range.Digest == first.Digest.ToString() ? first : second).ToList();
            honest[1].Frame.Checksum++;
            foreach (var answer in honest)
            {
                await answers.WriteAsync(answer);
            }
        };

        (await mesh.Node.GetAsync(first.Digest)).ShouldBe(first.Bytes);
        var asked = mesh.Peer.RangesAsked;
        await mesh.Peer.AnnounceAsync(mesh.Node, second);
        (await mesh.Node.GetAsync(second.Digest)).ShouldBe(second.Bytes);

        Assert.True(asked > 0, "the peer was not asked at all");
        Assert.Equal(asked, mesh.Peer.RangesAsked);
        Assert.True(mesh.Node.IntegrityFailures > 0);
        Assert.Equal(1, ejections.GetMeasurementSnapshot().EvaluateAsCounter());
        Assert.True(mesh.Node.Get<PeerConnections>().Find(mesh.Peer.Name)!.IsEjected);
    }

    // Only the digest of the whole tells.
    [Fact]
    public async Task Peer_SendsAnotherContentWithRightChecksums_IsBlamedAndEveryByteIsRight()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var other = TestMesh.NewSample(Size);
        using var ejections = Ejections(mesh.Node);
        mesh.Peer.Answer = (range, answers, _) => SendAsync(FakePeer.Honest(range, other), answers);
        var sample = other;
        for (var i = 0; i < PeerEjection.ContradictedContents; i++)
        {
            // It may have been given them itself.
            Assert.False(mesh.Node.Get<PeerConnections>().Find(mesh.Peer.Name)!.IsEjected);
            sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            await mesh.Peer.AnnounceAsync(mesh.Node, sample);
            var before = mesh.Node.IntegrityFailures;

            // A client that had taken some of it already is cut, and comes again.
            var answer = await mesh.Node.GetAsync(sample.Digest);
            Assert.False(answer.IsComplete && !sample.Bytes.AsSpan().SequenceEqual(answer.Bytes), "a wrong content was delivered as a whole");
            await Wait.UntilAsync(() => mesh.Node.IntegrityFailures > before, "the wrong content is found out");
        }

        await Wait.UntilAsync(() => ejections.GetMeasurementSnapshot().EvaluateAsCounter() == 1, "the peer is blamed");
        var asked = mesh.Peer.RangesAsked;
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.True(mesh.Node.Get<PeerConnections>().Find(mesh.Peer.Name)!.IsEjected);
        Assert.Equal(asked, mesh.Peer.RangesAsked);
    }

    [Fact]
    public async Task Caller_FloodsLookups_HasBoundedSessionsAndAPullGoesOn()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var streams = mesh.Node.Get<CallerStreams>();
        var calls = new List<AsyncDuplexStreamingCall<LookupRequest, LookupResponse>>();
        var channels = Enumerable.Range(0, 10).Select(_ => GrpcChannel.ForAddress($"http://{mesh.Node.MeshEndPoint}")).ToList();
        try
        {
            // As many names as sessions, on connections of their own.
            for (var i = 0; i < CallerStreams.MaxLookups + 400; i++)
            {
                await OpenAsync(i);
            }

            await Wait.UntilAsync(() => streams.Open >= CallerStreams.MaxLookups, "all places are taken");
            var late = await OpenAsync(calls.Count);
            Assert.Equal(StatusCode.ResourceExhausted, (await Assert.ThrowsAsync<RpcException>(() => late.ResponseStream.MoveNext(TestContext.Current.CancellationToken))).StatusCode);
            Assert.InRange(streams.Open, 1, CallerStreams.MaxLookups + (2 * CallerStreams.MaxAnnounces));

            var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            foreach (var node in mesh.Nodes)
            {
                (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
            }
        }
        finally
        {
            calls.ForEach(call => call.Dispose());
            channels.ForEach(channel => channel.Dispose());
        }

        await Wait.UntilAsync(() => streams.Open <= 4, "the places are free again");

        async Task<AsyncDuplexStreamingCall<LookupRequest, LookupResponse>> OpenAsync(int index)
        {
            var call = new PeerService.PeerServiceClient(channels[index % channels.Count]).Lookup();
            calls.Add(call);
            var want = new Want { Member = new Member { Node = $"name-{index}", Incarnation = 1 }, Digest = TestMesh.NewSample(1).Digest.ToString(), CanReachOrigin = true };
            await call.RequestStream.WriteAsync(new LookupRequest { Want = want }, TestContext.Current.CancellationToken);
            return call;
        }
    }

    [Fact]
    public async Task Caller_FloodsAnnouncements_IsHeldBackAndAPullGoesOn()
    {
        const int Contents = 5_000;
        await using var mesh = await TestMesh.StartAsync();
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce(cancellationToken: stop.Token);
        var flooding = FloodAsync();
        var sample = mesh.Blob(Size);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        // What may come at once, and one more that was let through while something was left.
        await Wait.UntilAsync(() => mesh.Node.Directory.Count >= 100_000, "what may be announced at once has been");
        Assert.InRange(mesh.Node.Directory.Bytes, 1, 64L << 20);
        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<Exception>(() => flooding);

        async Task FloodAsync()
        {
            for (var sequence = 1UL; ; sequence++)
            {
                var request = new AnnounceRequest { Sequence = sequence, Member = sequence == 1 ? new Member { Node = "x", Incarnation = 1 } : null };
                for (var i = 0UL; i < Contents; i++)
                {
                    request.Contents.Add(new Availability { Digest = $"sha256:{(sequence * Contents) + i:x64}", Size = 1, Complete = true });
                }

                await call.RequestStream.WriteAsync(request, stop.Token);
            }
        }
    }

    // It is the ring that makes an owner, never a name or a message.
    [Fact]
    public async Task Peer_ThatIsNoOwner_IsNeverAskedForGrants()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3, peers: 1);
        var sample = mesh.BlobOwnedBy(Size, mesh.Nodes[0].Name, mesh.Nodes[1].Name);
        await mesh.Peer.AnnounceAsync(mesh.Nodes[2], sample);

        (await mesh.Nodes[2].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.Equal((0, 0), (mesh.Peer.LookupsAsked, mesh.Peer.RangesAsked));
    }

    private static MetricCollector<long> Ejections(TestNode node) => new(node.Get<IMeterFactory>(), "Peerd", "peerd.peer.ejected");

    private static async Task SendAsync(IEnumerable<FetchRangeResponse> all, IServerStreamWriter<FetchRangeResponse> answers)
    {
        foreach (var answer in all)
        {
            await answers.WriteAsync(answer);
        }
    }
}
