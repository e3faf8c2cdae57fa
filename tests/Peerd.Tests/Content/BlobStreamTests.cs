using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Content;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>What one content that is read bit by bit keeps of those who read it.</summary>
public sealed class BlobStreamTests
{
    [Fact]
    public async Task Ensure_SignaturesWithoutEnd_OnlyTheLastClientsAreKnown()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(8 * 1024 * 1024);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(sample.Digest, Signed(mesh, sample, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        var layout = new ContentLayout(sample.Bytes.Length);

        // Nothing comes, so that each read is one that misses something, and none has the time to wait for it.
        using var held = mesh.Registry.HoldBodies();
        using var gone = new CancellationTokenSource();
        await gone.CancelAsync();
        for (var i = 1; i <= 1000; i++)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await stream.EnsureAsync(layout.Frame(layout.FrameCount - 1), Signed(mesh, sample, i), TimeSpan.FromSeconds(1), gone.Token));
        }

        Assert.InRange(stream.Clients, 1, ClientOrigins.Max);
        streams.Close(stream);
    }

    // It starts as others did, and goes another way: what those needed next is not fetched for it any more.
    [Fact]
    public async Task Ensure_ReaderLeavesTheKnownOrder_RestOfItIsNotFetched()
    {
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(0.1));
        var sample = mesh.Blob(64 * 1024 * 1024);
        var layout = new ContentLayout(sample.Bytes.Length);
        using var lease = mesh.Node.Cache.Open(sample.Digest, sample.Bytes.Length, mediaType: null);
        int[] order = [.. Enumerable.Range(0, 60).Select(i => i * 4)];
        lease.Content.Ordered(order, isSeenHere: false);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(sample.Digest, Signed(mesh, sample, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        using var gone = new CancellationTokenSource();
        using (mesh.Registry.HoldBodies())
        {
            _ = stream.EnsureAsync(layout.Piece(order[0]), Signed(mesh, sample, 0), TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken).AsTask();
            await Wait.UntilAsync(() => mesh.Registry.Requests.Count > 2, "the order is followed");
            await gone.CancelAsync();
            for (var i = 0; i < 16; i++)
            {
                // Nobody waits for it, but it was read.
                Task touched = stream.EnsureAsync(layout.Piece((i * 12) + 2), Signed(mesh, sample, 0), TimeSpan.FromSeconds(1), gone.Token).AsTask();
                await touched.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
            }
        }

        await Wait.UntilAsync(() => Enumerable.Range(0, 16).All(i => lease.Content.HasPiece((i * 12) + 2)), "what was read is here");

        // Each comes from the origin as well, after anything that was still wanted.
        for (var i = 0; i < 16; i++)
        {
            Assert.NotEqual(BlobSource.None, await stream.EnsureAsync(layout.Piece((i * 12) + 6), Signed(mesh, sample, 0), TimeSpan.FromSeconds(5), TestContext.Current.CancellationToken));
        }

        Assert.InRange(order.Count(lease.Content.HasPiece), 1, order.Length / 2);
        streams.Close(stream);
    }

    // Another node's URL may have been refused, at another host. What comes from another node all the same is waited for, and the end of a
    // short pause.
    [Theory]
    [InlineData(30_000, false, false)]
    [InlineData(30_000, true, true)]
    [InlineData(2_000, false, true)]
    public async Task Ensure_OwnerSaysThatTheOriginWantsAPause_OnlyWhatComesSoonIsWaitedFor(int milliseconds, bool isHeld, bool expected)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        var look = TimeSpan.FromMilliseconds(50);
        var time = new ArmedTime();
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: time);
        var sample = mesh.BlobOwnedBy(8 * 1024 * 1024, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            var told = new LookupResponse { State = LookupState.Available, Size = sample.Bytes.Length, OriginPauseMs = (uint)milliseconds };
            if (isHeld)
            {
                told.Holders.Add(new Holder { Node = mesh.Peer.Name, Complete = true });
            }

            await answers.WriteAsync(told, call.CancellationToken);
            await mesh.Peer.NeverAsync(call);
        };
        var isReleased = new TaskCompletionSource();
        mesh.Peer.Answer = async (asked, answers, _) =>
        {
            await isReleased.Task;
            foreach (var answer in FakePeer.Honest(asked, sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(sample.Digest, Signed(mesh, sample, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        time.Forget();

        var read = stream.EnsureAsync(sample.Layout.Piece(3), Signed(mesh, sample, 0), Wait.Longest, stop.Token).AsTask();
        await time.PassAsync(look);

        var waits = time.ArmedAsync(look);
        Assert.Equal(expected, await Task.WhenAny(read, waits) == waits);
        isReleased.SetResult();
        if (isHeld || !expected)
        {
            Assert.Equal(isHeld ? BlobSource.Mesh : BlobSource.None, await read);
        }

        await stop.CancelAsync();
        await Record.ExceptionAsync(() => read);
        streams.Close(stream);
    }

    // Segments are what is granted; what a container needs of them are pieces.
    [Fact]
    public async Task Ensure_SegmentsOfTwoPieces_OrderIsWrittenDownInPieces()
    {
        await using var mesh = await TestMesh.StartAsync();
        var content = Large(mesh);
        int[] read = [301, 6, 5, 300, 40];
        using var lease = mesh.Node.Cache.Open(content.Digest, content.Size, mediaType: null);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(content.Digest, OriginOf(mesh, content.Digest, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);

        foreach (var piece in read)
        {
            await EnsureAsync(stream, mesh, content, lease.Content.Layout.Piece(piece));
        }

        stream.ExchangeOrder();
        Assert.Equal(read, lease.Content.OwnStartupOrder);
        streams.Close(stream);
    }

    [Fact]
    public async Task Ensure_KnownOrderHasFewOfThePieces_WhatIsSeenHereIsToldAndStaysSoWhenOthersToldMore()
    {
        await using var mesh = await TestMesh.StartAsync();
        var content = Large(mesh);
        int[] read = [301, 6, 5];
        int[] others = [9, 301, 6, 5];
        using var lease = mesh.Node.Cache.Open(content.Digest, content.Size, mediaType: null);
        lease.Content.Ordered(others[..2], isSeenHere: false);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(content.Digest, OriginOf(mesh, content.Digest, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        foreach (var piece in read)
        {
            await EnsureAsync(stream, mesh, content, lease.Content.Layout.Piece(piece));
        }

        stream.ExchangeOrder();
        Assert.Equal(read, lease.Content.OwnStartupOrder);

        lease.Content.Ordered(others, isSeenHere: false);
        stream.ExchangeOrder();
        Assert.Equal(read, lease.Content.OwnStartupOrder);
        Assert.Equal(others, lease.Content.StartupOrder);
        streams.Close(stream);
    }

    [Fact]
    public async Task Ensure_KnownOrderOfSegmentsOfTwoPieces_TheSegmentsOfItsPiecesAreFetchedAndNoOthers()
    {
        await using var mesh = await TestMesh.StartAsync();
        var content = Large(mesh);
        int[] order = [1, 301, 6, 40, 121];
        int[] fetched = [0, 1, 6, 7, 40, 41, 120, 121, 300, 301];
        using var lease = mesh.Node.Cache.Open(content.Digest, content.Size, mediaType: null);
        lease.Content.Ordered(order, isSeenHere: false);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(content.Digest, OriginOf(mesh, content.Digest, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);

        // Too little to be the beginning of a run.
        await EnsureAsync(stream, mesh, content, lease.Content.Layout.Frame(lease.Content.Layout.FirstFrameOf(order[0])));

        await Wait.UntilAsync(() => fetched.All(lease.Content.HasPiece) && mesh.Node.Downloads.PiecesInFlight == 0, "the order is followed");
        Assert.Equal(fetched, Enumerable.Range(0, lease.Content.Layout.PieceCount).Where(lease.Content.HasPiece));
        streams.Close(stream);
    }

    // Right bytes do not mend a body that began with wrong ones.
    [Fact]
    public async Task Read_AllIsDroppedInTheMiddleOfABody_IsCut()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(8 * 1024 * 1024);
        using var lease = mesh.Node.Cache.Open(sample.Digest, sample.Bytes.Length, mediaType: null);
        for (var frame = 0; frame < sample.Layout.FrameCount / 2; frame++)
        {
            sample.WriteFrame(lease.Content, frame);
        }

        await using var connection = await BlobClient.ConnectAsync(mesh.Node);
        using (mesh.Registry.HoldBodies())
        {
            await connection.WriteRequestAsync("GET", $"/blobs/{BlobClient.UrlOf(mesh, sample)}", $"Range: bytes=0-{sample.Bytes.Length - 1}");
            Assert.Equal(206, (await connection.ReadHeadAsync()).Status);
            var half = new byte[sample.Bytes.Length / 2];
            Assert.Equal(half.Length, await connection.ReadAsync(half));
            lease.Content.DropAll();
        }

        await Assert.ThrowsAnyAsync<Exception>(async () => Assert.Equal(sample.Bytes.Length / 2, await connection.ReadAsync(new byte[sample.Bytes.Length / 2])));
        Assert.True((await BlobClient.ReadAsync(mesh.Node, BlobClient.UrlOf(mesh, sample), $"bytes=0-{sample.Bytes.Length - 1}")).Body.AsSpan().SequenceEqual(sample.Bytes));
    }

    /// <summary>A content of segments that have two pieces, at the registry.</summary>
    private static GeneratedContent Large(TestMesh mesh)
    {
        var content = new GeneratedContent(512L << 20);
        Assert.Equal(2, new ContentLayout(content.Size).PiecesPerSegment);
        mesh.Registry.Intercept = content.SendAsync;
        return content;
    }

    private static async Task EnsureAsync(BlobStream stream, TestMesh mesh, GeneratedContent content, ByteRange bytes)
    {
        var source = await stream.EnsureAsync(bytes, OriginOf(mesh, content.Digest, 0), Wait.Longest, TestContext.Current.CancellationToken);
        Assert.NotEqual(BlobSource.None, source);
    }

    private static OriginReference Signed(TestMesh mesh, SampleContent sample, int signature) => OriginOf(mesh, sample.Digest, signature);

    private static OriginReference OriginOf(TestMesh mesh, Digest content, int signature) =>
        OriginReference.Of(new GivenUrl(new Uri($"{mesh.Registry.Url}/v2/r/blobs/{content}?sig={signature}"), authorization: null), content.ToString());
}
