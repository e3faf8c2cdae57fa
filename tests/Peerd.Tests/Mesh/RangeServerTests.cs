using Grpc.Core;
using Peerd.Contracts.V1;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>A real node, asked over a real socket by the generated client.</summary>
public sealed class RangeServerTests
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;
    private const int FrameSize = 64 * KiB;

    [Fact]
    public async Task FetchRange_WholeContent_AnswersHeadFramesEnd()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, (300 * KiB) + 5);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(7, sample.Digest);
        var answer = await client.ReadAsync(7);

        Assert.Equal(sample.Bytes.Length, answer.Head!.Size);
        Assert.Equal(RangeStatus.Complete, answer.End.Status);
        Assert.Equal(sample.Bytes, answer.Bytes);
    }

    [Fact]
    public async Task FetchRange_EmptyContent_AnswersHeadAndEnd()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = new SampleContent(0, 0);
        sample.WriteAll(mesh.Node.Cache);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, sample.Digest);
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Complete, answer.End.Status);
        Assert.Empty(answer.Bytes);
    }

    [Fact]
    public async Task FetchRange_PipelinedRanges_AnswersInOrderOfRequests()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, MiB);
        var other = Cached(mesh, 100 * KiB);
        using var client = new RangeClient(mesh.Node);

        // Twice as many as the server keeps: the rest waits in the connection.
        for (uint i = 0; i < 16; i++)
        {
            await client.AskAsync(i * 3, i % 2 == 0 ? sample.Digest : other.Digest, FrameSize, i % 2 == 0 ? (1 + (i % 4)) * FrameSize : 0);
        }

        for (uint i = 0; i < 16; i++)
        {
            var answer = await client.ReadAsync(i * 3);
            Assert.Equal(RangeStatus.Complete, answer.End.Status);
            Assert.Equal(i % 2 == 0 ? sample.Bytes[FrameSize..(int)((2 + (i % 4)) * FrameSize)] : other.Bytes[FrameSize..], answer.Bytes);
        }
    }

    [Fact]
    public async Task FetchRange_ManyRangesOnOneStream_AllRight()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, MiB);
        using var client = new RangeClient(mesh.Node);

        for (uint i = 1; i <= 300; i++)
        {
            var offset = (int)(i % 15) * FrameSize;
            await client.AskAsync(i, sample.Digest, offset, FrameSize);
            Assert.Equal(sample.Bytes[offset..(offset + FrameSize)], (await client.ReadAsync(i)).Bytes);
        }
    }

    [Fact]
    public async Task FetchRange_BytesStillArriving_AreSentAsTheyArrive()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((4 * MiB) + 7);
        using var client = new RangeClient(mesh.Node);
        FacadeAnswer pulled;
        using (var held = mesh.Registry.HoldBodies())
        {
            var pulling = await BeginPullAsync(mesh.Node, sample);
            await client.AskAsync(1, sample.Digest, 0, MiB);

            // The registry has sent half of the first MiB and waits.
            Assert.Equal(sample.Bytes.Length, (await client.NextButWaitingAsync()).Head.Size);
            for (var frame = 0; frame < 8; frame++)
            {
                Assert.Equal(sample.Frame(frame).ToArray(), (await client.NextButWaitingAsync()).Frame.Data.ToByteArray());
            }

            Assert.NotNull((await client.NextAsync()).Waiting);
            held.Dispose();
            for (var frame = 8; frame < 16; frame++)
            {
                Assert.Equal(sample.Frame(frame).ToArray(), (await client.NextButWaitingAsync()).Frame.Data.ToByteArray());
            }

            Assert.Equal(RangeStatus.Complete, (await client.NextButWaitingAsync()).End.Status);
            pulled = await pulling;
        }

        pulled.ShouldBe(sample.Bytes);
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    [Fact]
    public async Task Cancel_RunningAndQueuedRange_BothEndAsCancelledAndTheStreamGoesOn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(4 * MiB);
        using var held = mesh.Registry.HoldBodies();
        using var client = new RangeClient(mesh.Node);
        var pulling = await BeginPullAsync(mesh.Node, sample);
        await client.AskAsync(1, sample.Digest, 0, MiB);
        await client.AskAsync(2, sample.Digest, 0, FrameSize);
        await client.AskAsync(3, sample.Digest, 0, FrameSize);
        Assert.NotNull((await client.NextAsync()).Head);

        await client.CancelAsync(2);
        await client.CancelAsync(1);
        await client.CancelAsync(99);

        FetchRangeResponse answer;
        while ((answer = await client.NextAsync()).End is null)
        {
            Assert.Equal(1u, answer.Id);
        }

        Assert.Equal((1u, RangeStatus.Cancelled), (answer.Id, answer.End.Status));
        var queued = await client.ReadAsync(2);
        Assert.Equal((RangeStatus.Cancelled, 0), (queued.End.Status, queued.Bytes.Length));
        Assert.Equal(RangeStatus.Complete, (await client.ReadAsync(3)).End.Status);
        held.Dispose();
        (await pulling).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Cancel_WhileFramesWaitForTheReader_EndsAsCancelledAndTheStreamGoesOn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, 16 * MiB);
        using var client = new RangeClient(mesh.Node);
        await client.AskAsync(1, sample.Digest);
        Assert.NotNull((await client.NextAsync()).Head);

        // Nobody reads, so the server stands in the middle of a frame.
        await client.CancelAsync(1);
        await client.AskAsync(2, sample.Digest, 0, FrameSize);

        FetchRangeResponse answer;
        while ((answer = await client.NextAsync()).End is null)
        {
        }

        Assert.Equal((1u, RangeStatus.Cancelled), (answer.Id, answer.End.Status));
        Assert.Equal(sample.Bytes[..FrameSize], (await client.ReadAsync(2)).Bytes);
    }

    [Fact]
    public async Task FetchRange_DeadlinePassesWhileWaiting_EndsAsDeadlineExceeded()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(4 * MiB);
        using var held = mesh.Registry.HoldBodies();
        using var client = new RangeClient(mesh.Node);
        var pulling = await BeginPullAsync(mesh.Node, sample);

        // Long enough that it does not pass while what is here is written, which ends the stream.
        await client.AskAsync(1, sample.Digest, 0, MiB, deadlineMs: 500);
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.DeadlineExceeded, answer.End.Status);
        await client.AskAsync(2, sample.Digest, 0, FrameSize, deadlineMs: 60_000);
        Assert.Equal(RangeStatus.Complete, (await client.ReadAsync(2)).End.Status);
        held.Dispose();
        (await pulling).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task FetchRange_ReaderStopsReading_GivesUpAtTheDeadlineAndFreesTheSlot()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Mesh:Uploads=1", "--Peerd:Mesh:RangeDeadline=300ms"]);
        var sample = Cached(mesh, 16 * MiB);
        using var lazy = new RangeClient(mesh.Node);
        await lazy.AskAsync(1, sample.Digest);
        Assert.NotNull((await lazy.NextAsync()).Head);
        using var client = new RangeClient(mesh.Node);

        AnsweredRange answer;
        uint id = 0;
        do
        {
            await client.AskAsync(++id, sample.Digest, 0, FrameSize);
            answer = await client.ReadAsync(id);
        }
        while (answer.End.Status == RangeStatus.Busy);

        Assert.Equal(RangeStatus.Complete, answer.End.Status);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(FrameSize - 1, FrameSize)]
    [InlineData(0, 1)]
    [InlineData(FrameSize, FrameSize + 1)]
    [InlineData(0, (300 * KiB) + 4)]
    [InlineData(5 * FrameSize, 0)]
    [InlineData(long.MaxValue - FrameSize + 1, FrameSize)]
    [InlineData(-1, FrameSize)]
    [InlineData(-FrameSize, FrameSize)]
    [InlineData(0, -1)]
    [InlineData(0, long.MinValue)]
    public async Task FetchRange_NotOnFrames_IsInvalidAndSaysWhy(long offset, long length)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, (300 * KiB) + 5);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, sample.Digest, offset, length);
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Invalid, answer.End.Status);
        Assert.NotEmpty(answer.End.Message);
        Assert.Empty(answer.Bytes);
        await client.AskAsync(1, sample.Digest, 4 * FrameSize);
        Assert.Equal(sample.Bytes[(4 * FrameSize)..], (await client.ReadAsync(1)).Bytes);
    }

    [Theory]
    [InlineData(4 * FrameSize, FrameSize)]
    [InlineData(FrameSize, long.MaxValue - FrameSize)]
    [InlineData(FrameSize, long.MaxValue - FrameSize + 1)]
    [InlineData(FrameSize, long.MaxValue)]
    public async Task FetchRange_PastTheEnd_EndsWithTheContent(long offset, long length)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, (300 * KiB) + 5);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, sample.Digest, offset, length);
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Complete, answer.End.Status);
        Assert.Equal(sample.Bytes[(int)offset..], answer.Bytes);
    }

    [Theory]
    [InlineData("")]
    [InlineData("sha256:abc")]
    [InlineData("../../etc/passwd")]
    [InlineData("sha256:ABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD")]
    public async Task FetchRange_MalformedDigest_IsInvalid(string digest)
    {
        await using var mesh = await TestMesh.StartAsync();
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, digest);

        Assert.Equal(RangeStatus.Invalid, (await client.ReadAsync(1)).End.Status);
    }

    [Fact]
    public async Task FetchRange_UnknownDigestOrMissingPieces_IsNotHeld()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = TestMesh.NewSample(MiB);
        using var lease = sample.OpenIn(mesh.Node.Cache);
        sample.WritePiece(lease.Content, 0);
        sample.WritePiece(lease.Content, 2);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, TestMesh.NewSample(1).Digest);
        Assert.Equal(RangeStatus.NotHeld, (await client.ReadAsync(1)).End.Status);

        await client.AskAsync(2, sample.Digest);
        var partly = await client.ReadAsync(2);
        Assert.Equal(RangeStatus.NotHeld, partly.End.Status);
        Assert.Equal(sample.Bytes[..FrameSize], partly.Bytes);
    }

    [Fact]
    public async Task FetchRange_MoreThanUploads_IsBusyAndNamesOtherHolders()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1, settings: ["--Peerd:Mesh:Uploads=1", "--Peerd:Mesh:IdleTimeout=2s"]);
        var wanted = mesh.BlobOwnedBy(MiB, mesh.Node.Name);
        mesh.Peer.Answer = (_, _, call) => mesh.Peer.NeverAsync(call);
        await mesh.Peer.AnnounceAsync(mesh.Node, wanted);

        // It stays unfinished, however long this takes: the peer says nothing, and the registry no more than a head.
        using var registryHeld = mesh.Registry.HoldBodies();
        var pulling = mesh.Node.GetAsync(wanted.Digest);
        await Wait.UntilAsync(() => mesh.Peer.RangesAsked > 0, "the node asks the peer");

        // A reader that takes nothing keeps the only slot.
        var sample = Cached(mesh, 16 * MiB);
        using var lazy = new RangeClient(mesh.Node);
        await lazy.AskAsync(1, sample.Digest);
        Assert.NotNull((await lazy.NextAsync()).Head);
        using var client = new RangeClient(mesh.Node);
        await client.AskAsync(1, wanted.Digest);
        var busy = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Busy, busy.End.Status);
        Assert.Equal([mesh.Peer.Name], busy.End.Holders);
        Assert.Null(busy.Head);

        // The slot is free again when its reader is gone.
        lazy.Dispose();
        uint id = 1;
        AnsweredRange answer;
        do
        {
            await client.AskAsync(++id, sample.Digest, 0, FrameSize);
            answer = await client.ReadAsync(id);
        }
        while (answer.End.Status == RangeStatus.Busy);

        Assert.Equal(sample.Bytes[..FrameSize], answer.Bytes);
        registryHeld.Dispose();
        (await pulling).ShouldBe(wanted.Bytes);
    }

    [Fact]
    public async Task FetchRange_IdThatIsStillAnswered_EndsTheStreamAsInvalidArgument()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Cached(mesh, 16 * MiB);
        using var client = new RangeClient(mesh.Node);
        await client.AskAsync(1, sample.Digest);
        Assert.NotNull((await client.NextAsync()).Head);

        await client.AskAsync(1, sample.Digest);

        Assert.Equal(StatusCode.InvalidArgument, (await client.ReadToStatusAsync()).StatusCode);
    }

    [Fact]
    public async Task FetchRange_EmptyMessage_EndsTheStreamAsInvalidArgument()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var client = new RangeClient(mesh.Node);

        await client.SendAsync(new FetchRangeRequest());

        Assert.Equal(StatusCode.InvalidArgument, (await client.ReadToStatusAsync()).StatusCode);
    }

    [Fact]
    public async Task FetchRange_WaitForContentThatIsBeingDownloaded_SendsItAll()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((4 * MiB) + 7);
        var answersNow = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Registry.Before = _ => answersNow.Task;
        using var client = new RangeClient(mesh.Node);
        var pulling = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 1, "the download has begun");

        await client.SendAsync(new FetchRangeRequest { Range = new FetchRange { Id = 1, Digest = sample.Digest.ToString(), Wait = true, TellPieces = true } });
        Assert.NotNull((await client.NextAsync()).Waiting);
        answersNow.SetResult();
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Complete, answer.End.Status);
        Assert.Equal(sample.Bytes, answer.Bytes);
        Assert.Equal([new PieceRun { First = 0, Count = (uint)sample.Layout.PieceCount }], answer.End.Pieces);
        (await pulling).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task FetchRange_WaitForWhatTheNodeReadsFromTheReader_IsNotHeld()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(MiB, mesh.Node.Name);
        var asked = new TaskCompletionSource<FetchRange>(TaskCreationOptions.RunContinuationsAsynchronously);
        var answersNow = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            asked.TrySetResult(range);
            await answersNow.Task;
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);
        var pulling = mesh.Node.GetAsync(sample.Digest);
        var same = new FetchRange(await asked.Task.WaitAsync(Wait.Longest)) { Wait = true, TellPieces = true };

        using var reader = new RangeClient(mesh.Node, mesh.Peer.Name);
        await reader.SendAsync(new FetchRangeRequest { Range = same });
        var refused = await reader.ReadAsync(same.Id);
        Assert.Equal(RangeStatus.NotHeld, refused.End.Status);

        // Only what comes from the origin is sure to come: peers must not wait for each other.
        Assert.Empty(refused.End.Pieces);

        // For others it is on its way.
        using var other = new RangeClient(mesh.Node, "other");
        await other.SendAsync(new FetchRangeRequest { Range = same });
        Assert.NotNull((await other.NextAsync()).Head);
        Assert.NotNull((await other.NextAsync()).Waiting);
        answersNow.SetResult();
        FetchRangeResponse last;
        while ((last = await other.NextAsync()).End is null)
        {
        }

        Assert.Equal(RangeStatus.Complete, last.End.Status);
        (await pulling).ShouldBe(sample.Bytes);
    }

    private static SampleContent Cached(TestMesh mesh, int size)
    {
        var sample = TestMesh.NewSample(size);
        sample.WriteAll(mesh.Node.Cache);
        return sample;
    }

    /// <summary>Begins to pull a content, and returns when its first bytes are in the cache.</summary>
    private static async Task<Task<FacadeAnswer>> BeginPullAsync(TestNode node, SampleContent sample)
    {
        var pulling = node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => node.Cache.TryPeek(sample.Digest, out var content) && content.HasFrame(0), "the pull has begun");
        return pulling;
    }
}
