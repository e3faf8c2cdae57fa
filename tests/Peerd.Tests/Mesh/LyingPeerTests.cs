using System.Diagnostics.Metrics;
using System.Net;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>A member that means harm, written against the protos, beside a pull that must not suffer from it.</summary>
public sealed class LyingPeerTests
{
    private const int Size = 700_000;

    [Fact]
    public async Task Peer_AnnouncesWhatItLacks_EveryPullIsRightAndItIsAskedAFewTimesOnly()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        foreach (var node in mesh.Nodes)
        {
            var sample = mesh.BlobOwnedBy(16 * Size, mesh.Node.Name);
            await mesh.Peer.AnnounceAsync(mesh.Node, sample);
            var before = mesh.Peer.RangesAsked;

            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

            // What may be under way at once, and a few more after each ban.
            Assert.True(sample.Layout.SegmentCount > 150);
            Assert.InRange(mesh.Peer.RangesAsked - before, 1, 60);
        }
    }

    // As one of the two who are responsible for the content it is believed that another has found wrong bytes: once.
    [Fact]
    public async Task Peer_HasTheContentDiscardedAllTheTime_ThePullEnds()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(16 * Size, mesh.Node.Name, mesh.Peer.Name);
        mesh.Peer.Unasked = () => new AnnounceResponse { Discarded = { sample.Digest.ToString() } };
        mesh.Registry.Before = _ => Task.Delay(20, TestContext.Current.CancellationToken);

        // A body that had begun is cut, and containerd comes back.
        var first = await mesh.Node.GetAsync(sample.Digest);
        Assert.True(sample.Bytes.AsSpan().StartsWith(first.Bytes));
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), sample.Bytes.Length, 3 * sample.Bytes.Length);
    }

    [Fact]
    public async Task Peer_HasContentsDiscardedForWhichItIsNotResponsible_TheyStay()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        var others = mesh.BlobOwnedBy(Size, mesh.Nodes[0].Name, mesh.Nodes[1].Name);
        var own = mesh.BlobOwnedBy(Size, mesh.Peer.Name, mesh.Nodes[1].Name);
        using var lease = others.OpenIn(mesh.Node.Cache);
        using var ownLease = own.OpenIn(mesh.Node.Cache);
        others.WritePiece(lease.Content, 0);
        own.WritePiece(ownLease.Content, 0);
        mesh.Peer.Unasked = () => new AnnounceResponse { Discarded = { others.Digest.ToString(), own.Digest.ToString() } };

        await Wait.UntilAsync(() => !ownLease.Content.HasPiece(0), "what the member is responsible for is dropped");

        Assert.True(lease.Content.HasPiece(0));
    }

    // Who passes that on has forgotten who holds a part.
    [Fact]
    public async Task Peer_HasAContentDiscardedTooSoonAgain_WhatIsKeptIsAnnouncedAnew()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        using var lease = sample.OpenIn(mesh.Node.Cache);
        await AnnouncedAsync();

        await DiscardAsync();
        await Wait.UntilAsync(() => !lease.Content.HasPiece(3), "the piece is dropped");
        await AnnouncedAsync();
        var before = mesh.Peer.Announced.Count;
        await DiscardAsync();
        await Wait.UntilAsync(() => mesh.Peer.Announced.Skip(before).Any(IsAnew), "what is kept is announced");

        Assert.True(lease.Content.HasPiece(3));

        async Task AnnouncedAsync()
        {
            var heard = mesh.Peer.Announced.Count;
            sample.WritePiece(lease.Content, 3);
            await Wait.UntilAsync(() => mesh.Peer.Announced.Skip(heard).Any(IsTold), "the piece is announced");
        }

        async Task DiscardAsync()
        {
            var left = 1;
            mesh.Peer.Unasked = () => Interlocked.Decrement(ref left) == 0 ? new AnnounceResponse { Discarded = { sample.Digest.ToString() } } : null;
            await Wait.UntilAsync(() => Volatile.Read(ref left) <= 0, "it is said");
        }

        bool IsTold(AnnounceRequest request) => request.Contents.Any(content => content.Digest == sample.Digest.ToString() && content.Pieces.Contains(new PieceRun { First = 3, Count = 1 }));

        bool IsAnew(AnnounceRequest request) => IsTold(request) && request.Contents.Any(content => content.Replace);
    }

    [Fact]
    public async Task Peer_AnnouncesManySmallContentsOfItsOwn_CopiesTakeASmallPartOfTheCache()
    {
        const int Capacity = 16 * 1024 * 1024;
        const int Copied = Capacity / SmallCopies.ShareOfCache;
        await using var mesh = await TestMesh.StartAsync(peers: 1, settings: [$"--Peerd:Cache:Capacity={Capacity}"]);
        var image = mesh.Blob(Capacity * 3 / 4);
        (await mesh.Node.GetAsync(image.Digest)).ShouldBe(image.Bytes);
        var junk = Enumerable.Range(0, 9).Select(_ => mesh.UnknownOwnedBy(256 * 1024, mesh.Node.Name)).ToArray();
        mesh.Peer.Answer = (range, answers, _) => SendAsync(FakePeer.Honest(range, junk.Single(content => content.Digest.ToString() == range.Digest)), answers);

        await mesh.Peer.AnnounceAsync(mesh.Node, junk);
        await Wait.UntilAsync(() => mesh.Peer.RangesAsked >= junk.Length && mesh.Node.Downloads.Count == 0, "all were copied");

        // The last ones are still open when they are looked at.
        Assert.InRange(junk.Count(content => mesh.Node.Cache.TryPeek(content.Digest, out _)), 1, (Copied / (256 * 1024)) + 3);
        Assert.True(mesh.Node.Cache.TryPeek(image.Digest, out var kept) && kept.IsVerified, "the copies have pushed out what the node has pulled");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Peer_AnnouncesManySmallContentsAndSendsThemOrNot_HonestOnesAreCopiedAndStay(bool sends)
    {
        const int Capacity = 16 * 1024 * 1024;
        const int JunkSize = 64 * 1024;
        await using var mesh = await TestMesh.StartAsync(peers: 2, settings: [$"--Peerd:Cache:Capacity={Capacity}"]);
        var (honest, liar) = (mesh.Peers[0], mesh.Peers[1]);
        var first = NewContents(4, 32 * 1024);
        var last = NewContents(4, 32 * 1024);
        var junk = sends ? NewContents(2 * Capacity / SmallCopies.ShareOfCache / JunkSize, JunkSize) : NewContents(1500, 32);
        honest.Answer = (range, answers, _) => SendAsync(FakePeer.Honest(range, first.Concat(last).Single(content => content.Digest.ToString() == range.Digest)), answers);
        liar.Answer = (range, answers, call) => sends ? SendAsync(FakePeer.Honest(range, junk.Single(content => content.Digest.ToString() == range.Digest)), answers) : liar.NeverAsync(call);
        await honest.AnnounceAsync(mesh.Node, first);
        await Wait.UntilAsync(() => first.All(IsCopied), "the first are copied");

        await liar.AnnounceAsync(mesh.Node, junk);
        await Wait.UntilAsync(() => liar.RangesAsked >= (sends ? junk.Length : 1) && (mesh.Node.Downloads.Count == 0 || !sends), "the liar has been asked");
        Assert.All(first, content => Assert.True(IsCopied(content)));
        await honest.AnnounceAsync(mesh.Node, [.. first, .. last]);

        await Wait.UntilAsync(() => last.All(IsCopied), "the last are copied, too");

        SampleContent[] NewContents(int count, int size) => [.. Enumerable.Range(0, count).Select(_ => mesh.UnknownOwnedBy(size, mesh.Node.Name))];

        bool IsCopied(SampleContent content) => mesh.Node.Cache.TryPeek(content.Digest, out var cached) && cached.IsVerified;
    }

    [Fact]
    public async Task Peers_AsManyAsCopyAtOnceSendNothing_HonestContentsWaitForOneTurnOnly()
    {
        const int Liars = 4;
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(peers: Liars + 1, time: time);
        var (honest, liars) = (mesh.Peers[Liars], mesh.Peers.Take(Liars).ToList());
        var contents = Enumerable.Range(0, 6).Select(_ => mesh.UnknownOwnedBy(1000, mesh.Node.Name)).ToArray();
        honest.Answer = (range, answers, _) => SendAsync(FakePeer.Honest(range, contents.Single(content => content.Digest.ToString() == range.Digest)), answers);
        foreach (var liar in liars)
        {
            liar.Answer = (_, _, call) => liar.NeverAsync(call);
            await liar.AnnounceAsync(mesh.Node, [.. Enumerable.Range(0, 5).Select(_ => mesh.UnknownOwnedBy(1000, mesh.Node.Name))]);
        }

        await Wait.UntilAsync(() => liars.All(liar => liar.RangesAsked > 0), "each of them keeps a copy waiting");
        await honest.AnnounceAsync(mesh.Node, contents);
        await Wait.UntilAsync(() => contents.All(content => mesh.Node.Get<HolderDirectory>().FindComplete(content.Digest, honest.Name) is not null), "all are announced");

        time.Advance(TimeSpan.FromSeconds(20));

        await Wait.UntilAsync(() => contents.All(content => mesh.Node.Cache.TryPeek(content.Digest, out var cached) && cached.IsVerified), "all are copied");
    }

    [Fact]
    public async Task Caller_TellsHugeSizesAndChecksums_MemoryIsBounded()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var (honest, liar) = (mesh.Peers[0], mesh.Peers[1]);
        var budget = mesh.Node.Get<Coordination>().Checksums;
        var huge = Enumerable.Range(0, 2).Select(_ => mesh.UnknownOwnedBy(mesh.Node.Name).Digest).ToList();
        var calls = huge.Select(digest => liar.TellChecksumsAsync(mesh.Node, digest, HolderDirectory.MaxSize, pieces: 300_000)).ToList();
        await Task.WhenAll(calls);
        Assert.InRange(budget.Bytes, ChecksumBudget.Most - 1024, ChecksumBudget.Most);

        // Others have their own share, and real contents theirs.
        var real = mesh.UnknownOwnedBy(mesh.Node.Name).Digest;
        await honest.TellChecksumsAsync(mesh.Node, real, 100L << 30, pieces: 100 * 1024);
        Assert.InRange(budget.Bytes - ChecksumBudget.Most, (100 * 1024 * ChecksumBudget.BytesOf(4)) - 1024, 100 * 1024 * ChecksumBudget.BytesOf(4));

        liar.HangUp();
        honest.HangUp();
        await Wait.UntilAsync(() => budget.Bytes == 0, "nothing is kept of contents that nobody asks for");
    }

    [Fact]
    public async Task Peer_OwnsContentsAndTellsHugeSizesOfAll_MemoryIsBoundedAndPullsAreRight()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1, settings: ["--Peerd:Facade:AnswerTimeout=100s"]);
        var budget = mesh.Node.Downloads.ToldSizes;
        var first = mesh.UnknownOwnedBy(mesh.Peer.Name).Digest;
        var isSeen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            if (isSeen.Task.IsCompleted)
            {
                throw new RpcException(new Status(StatusCode.Unavailable, "gone"));
            }

            await answers.WriteAsync(new LookupResponse { Size = HolderDirectory.MaxSize, State = LookupState.Available });
            await isSeen.Task.WaitAsync(call.CancellationToken);
        };
        var each = DownloadMemory.BytesOf(new(HolderDirectory.MaxSize));
        var answering = mesh.Node.SendAsync(first, "bytes=0-9");
        await Wait.UntilAsync(() => budget.Bytes == each, "one of them is believed");

        // The others are not: what the origin says counts.
        for (var number = 0; number < 3; number++)
        {
            using var unknown = await mesh.Node.SendAsync(mesh.UnknownOwnedBy(mesh.Peer.Name).Digest, "bytes=0-9");
            Assert.Equal(HttpStatusCode.NotFound, unknown.StatusCode);
            var sample = mesh.BlobOwnedBy(Size, number == 0 ? mesh.Node.Name : mesh.Peer.Name);
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
            Assert.InRange(budget.Bytes, each, budget.Most);
        }

        isSeen.SetResult();
        using var answer = await answering;
        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0 && budget.Bytes == 0, "all is given back");
    }

    // Neither owner nor origin can have more kept than there is room for.
    [Fact]
    public async Task Blob_OriginTellsAHugeSizeWhenThereIsNoRoom_IsRefused()
    {
        await using var mesh = await TestMesh.StartAsync();
        var budget = mesh.Node.Downloads.ToldSizes;
        Assert.True(budget.TryTake("others", budget.Most * 3 / 4));
        Assert.True(budget.TryTake("more", budget.Most / 8));
        var sample = mesh.Blob(Size);
        while (budget.TryTake(string.Empty, 1024))
        {
        }

        var refused = await mesh.Node.GetAsync(sample.Digest);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, refused.Status);

        budget.GiveBack("others", budget.Most * 3 / 4);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Peer_OwnsAContentAndPushesChecksumsOfAHugeOne_MemoryIsBounded()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1, settings: ["--Peerd:Facade:AnswerTimeout=100s"]);
        var digest = mesh.UnknownOwnedBy(mesh.Peer.Name).Digest;
        var isTold = false;
        var isSeen = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            if (isSeen.Task.IsCompleted)
            {
                // Without an owner, and with nothing at the origin, the download ends.
                throw new RpcException(new Status(StatusCode.Unavailable, "gone"));
            }

            for (var piece = 0; piece < 600_000; piece += 10_000)
            {
                await answers.WriteAsync(new LookupResponse { Size = HolderDirectory.MaxSize, Checksums = { FakePeer.ChecksumsOf(piece, 10_000) } });
            }

            Volatile.Write(ref isTold, true);
            await isSeen.Task.WaitAsync(call.CancellationToken);
        };

        var answering = mesh.Node.SendAsync(digest, "bytes=0-9");
        await Wait.UntilAsync(() => Volatile.Read(ref isTold) && mesh.Node.Downloads.Checksums.Bytes > ChecksumBudget.Most - 1024, "as many are kept as may be");
        Assert.InRange(mesh.Node.Downloads.Checksums.Bytes, 1, ChecksumBudget.Most);
        isSeen.SetResult();
        using var answer = await answering;
        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0 && mesh.Node.Downloads.Checksums.Bytes == 0, "they go with the download");
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

    // Who asks first is granted everything, and tells the checksums.
    [Fact]
    public async Task Caller_TellsWrongChecksumsOfManyContents_HonestPeersAreNotLeftAlone()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2, time: new QuickTime(10), settings: ["--Peerd:Facade:AnswerTimeout=100s"]);
        var (honest, liar) = (mesh.Peers[0], mesh.Peers[1]);
        using var ejections = Ejections(mesh.Node);
        for (var i = 0; i <= PeerEjection.ContradictedContents; i++)
        {
            var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            honest.Answer = (range, answers, _) => SendAsync(FakePeer.Honest(range, sample), answers);
            await liar.ReadFromOriginAsync(mesh.Node, sample, isLying: true);
            await honest.AnnounceAsync(mesh.Node, sample);
            var before = mesh.Node.IntegrityFailures;

            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

            Assert.True(mesh.Node.IntegrityFailures > before, "nothing contradicted what the liar has told");
        }

        Assert.Equal(0, ejections.GetMeasurementSnapshot().EvaluateAsCounter());
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

    // Without an end the caller would wait for an answer until it is known as one that says nothing.
    [Fact]
    public async Task Caller_AsksWhenThereIsNoRoomForTheContent_TheLookupEnds()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sizes = mesh.Node.Get<Coordination>().Sizes;
        Assert.True(sizes.TryTake("others", sizes.Most * 3 / 4));
        while (sizes.TryTake(string.Empty, 1024))
        {
        }

        using var channel = GrpcChannel.ForAddress($"http://{mesh.Node.MeshEndPoint}");
        using var call = new PeerService.PeerServiceClient(channel).Lookup(cancellationToken: TestContext.Current.CancellationToken);
        var want = new Want { Member = new Member { Node = "stranger", Incarnation = 1 }, Digest = TestMesh.NewSample(1).Digest.ToString(), Size = 1 << 30 };
        await call.RequestStream.WriteAsync(new LookupRequest { Want = want }, TestContext.Current.CancellationToken);

        var end = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(TestContext.Current.CancellationToken).WaitAsync(TimeSpan.FromSeconds(30)));
        Assert.Equal(StatusCode.ResourceExhausted, end.StatusCode);
    }

    [Fact]
    public async Task Caller_OpensAndEndsLookupsAllTheTime_APullGoesOn()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        await mesh.Peer.AnnounceAsync(mesh.Node, [.. Enumerable.Range(0, 5_000).Select(i => new Availability { Digest = $"sha256:{i:x64}", Size = 1, Complete = true })]);
        var client = new PeerService.PeerServiceClient(mesh.Node.Channel);
        for (var i = 1UL; i <= 300; i++)
        {
            // Each as a newer process than the one before.
            using var call = client.Lookup();
            var want = new Want { Member = new Member { Node = "x", Incarnation = i }, Digest = TestMesh.NewSample(1).Digest.ToString(), CanReachOrigin = true };
            await call.RequestStream.WriteAsync(new LookupRequest { Want = want }, TestContext.Current.CancellationToken);
            Assert.True(await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken));
        }

        var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
        foreach (var node in mesh.Nodes)
        {
            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        Assert.InRange(mesh.Node.Directory.Count, 5_000, 5_010);
        Assert.InRange(mesh.Node.Directory.Visited, 0, 100);
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
