using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class CoordinationTests : IDisposable
{
    private const int KiB64 = 64 * 1024;

    private const long Size = 40 * KiB64;

    private static readonly Digest Content = Digest.OfSha256([1]);

    private readonly FakeTimeProvider _time = new();
    private readonly HolderDirectory _directory;
    private readonly Coordination _coordination;

    public CoordinationTests()
    {
        _directory = new HolderDirectory(_time);
        _coordination = new Coordination(_directory, _time, NullLogger<Coordination>.Instance);
    }

    public void Dispose() => _coordination.Dispose();

    [Fact]
    public async Task Open_LoneAsker_IsGrantedEverything()
    {
        using var session = Open("a");

        var push = await NextAsync(session);

        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single(push.Granted));
        Assert.Equal((Size, LookupState.Available), (push.Size, push.State));
    }

    [Fact]
    public async Task Open_DirectoryKnowsHolders_TheyAreToldAndNothingIsGranted()
    {
        Announce("h");
        using var session = Open("a", size: 0);

        var push = await NextAsync(session);

        Assert.Equal((Size, "type"), (push.Size, push.MediaType));
        Assert.Empty(push.Granted);
        var holder = Assert.Single(push.Holders);
        Assert.Equal(("h", true), (holder.Node, holder.Complete));
    }

    [Fact]
    public async Task Open_AskerHoldsPieces_OnlyTheOthersAreGranted()
    {
        using var session = Open("a", have: new PieceRun { First = 0, Count = 30 });

        var push = await NextAsync(session);

        Assert.Equal(new SegmentRun { First = 30, Count = 10 }, Assert.Single(push.Granted));
        Assert.Equal(30, _directory.Find(Content, "a")!.Pieces.Count);
    }

    [Fact]
    public async Task Dispose_Reader_ItsGrantsGoToAnother()
    {
        using var a = Open("a");
        using var b = Open("b");
        await NextAsync(a);
        Assert.Empty((await NextAsync(b)).Granted);

        a.Dispose();

        Assert.Equal(Enumerable.Range(0, 40), ToldNodes.Segments((await NextAsync(b)).Granted));
    }

    [Fact]
    public async Task Open_SecondStreamOfANode_ReplacesTheFirst()
    {
        using var first = Open("a");
        await NextAsync(first);
        using var second = Open("a");
        Assert.Equal(new SegmentRun { Count = 40 }, Assert.Single((await NextAsync(second)).Granted));

        // Neither what comes late on the first stream nor its end takes anything from the second.
        first.Apply(new LookupRequest { Report = new GrantReport { GivenBack = { new SegmentRun { Count = 40 } }, OriginFailed = true } });
        first.Apply(new LookupRequest { Want = Want("a", Size) });
        first.Dispose();
        using var b = Open("b");

        var push = await NextAsync(b);
        Assert.Equal(LookupState.Available, push.State);
        Assert.Empty(push.Granted);
        Assert.NotEmpty((await NextAsync(second)).Reclaimed);
    }

    [Fact]
    public async Task Apply_Report_OthersLearnSizeChecksumsAndPieces()
    {
        using var a = Open("a", size: 0);
        using var b = Open("b", size: 0);
        Assert.Equal(new SegmentRun { Count = 1 }, Assert.Single((await NextAsync(a)).Granted));
        await NextAsync(b);

        a.Apply(new LookupRequest { Report = new GrantReport { Size = Size, MediaType = "type" } });
        a.Apply(new LookupRequest
        {
            Report = new GrantReport { Arrived = { new PieceRun { Count = 1 } }, Checksums = { new PieceChecksums { Piece = 0, Frames = { 77 } } } },
        });

        var told = new ToldNode();
        while (told.Checksums.Count == 0)
        {
            told.Apply(await NextAsync(b));
        }

        Assert.Equal((Size, "type"), (told.Size, told.MediaType));
        Assert.Equal([77UL], told.Checksums[0]);
        Assert.Contains(0, told.Holders["a"].Held);
        Assert.Equal(1, _directory.Find(Content, "a")!.Pieces.Count);
    }

    [Fact]
    public async Task Apply_ReportOfAMediaTypeOnly_TellsNoSize()
    {
        using var a = Open("a", size: 0);
        await NextAsync(a);

        a.Apply(new LookupRequest { Report = new GrantReport { MediaType = "type" } });
        a.Apply(new LookupRequest { Report = new GrantReport { Size = Size } });

        Assert.Equal(Size, (await NextAsync(a)).Size);
    }

    [Fact]
    public async Task Apply_OriginFailed_IsUnavailableUntilANewWant()
    {
        using var a = Open("a");
        await NextAsync(a);

        a.Apply(new LookupRequest { Report = new GrantReport { GivenBack = { new SegmentRun { Count = 40 } }, OriginFailed = true } });
        Assert.Equal(LookupState.Unavailable, (await NextAsync(a)).State);
        a.Apply(new LookupRequest { Want = Want("a", Size) });

        var push = await NextAsync(a);
        Assert.Equal(LookupState.Available, push.State);
        Assert.Equal(40, ToldNodes.Segments(push.Granted).Count());
    }

    [Fact]
    public async Task HolderChanged_AfterAMoment_IsPushed()
    {
        using var a = Open("a");
        await NextAsync(a);
        var next = NextAsync(a);

        Announce("h");
        Assert.False(next.IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(10));

        Assert.Equal("h", Assert.Single((await next).Holders).Node);
    }

    [Fact]
    public async Task ExecuteAsync_StalledReader_LosesItsLease()
    {
        await _coordination.StartAsync(CancellationToken.None);
        using var a = Open("a");
        using var b = Open("b");
        await NextAsync(a);
        await NextAsync(b);
        var told = new ToldNode();
        var next = NextAsync(b);

        // The ticking task runs on its own: time goes on until it has noticed.
        while (told.Granted.Count == 0)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
            if (next.IsCompleted)
            {
                told.Apply(await next);
                next = NextAsync(b);
            }
        }

        Assert.Contains(0, told.Granted);
        await _coordination.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Push_AskerThatReadsNothing_KeepsFewPushesAndTheEndIsRight()
    {
        using var slow = Open("slow", canReachOrigin: false);
        var slowest = new ToldNode();
        for (var i = 0; i < 100; i++)
        {
            // Each round tells of a holder that comes and goes; asking anew pushes at once.
            using var lease = Announce("h");
            slow.Apply(new LookupRequest { Want = Want("slow", Size, canReachOrigin: false) });
            lease.Leave();
            slow.Apply(new LookupRequest { Want = Want("slow", Size, canReachOrigin: false) });
        }

        var pushes = 0;
        for (var next = NextAsync(slow); next.IsCompleted; next = NextAsync(slow))
        {
            slowest.Apply(await next);
            pushes++;
        }

        Assert.InRange(pushes, 1, 64);
        Assert.Empty(slowest.Holders);
        Assert.Equal(LookupState.Unavailable, slowest.State);
    }

    [Fact]
    public async Task Push_ManyGrantsAndRevocationsUnread_MergeToTheLastWord()
    {
        using var slow = Open("slow");
        var told = new ToldNode();
        var last = 0;
        for (var i = 0; i < 200; i++)
        {
            last = i % 40;
            slow.Apply(new LookupRequest { Report = new GrantReport { GivenBack = { new SegmentRun { First = (uint)last, Count = 1 } } } });
        }

        // Given back and granted anew each time; at the end all of it is granted.
        var pushes = 0;
        for (var next = NextAsync(slow); next.IsCompleted; next = NextAsync(slow))
        {
            told.Apply(await next);
            pushes++;
        }

        Assert.InRange(pushes, 1, 64);
        Assert.Equal(Enumerable.Range(0, 40), told.Granted);
    }

    [Fact]
    public async Task Push_RevocationOfAnUnreadGrant_TakesItBack()
    {
        using var slow = Open("slow");
        for (var i = 0; i < 100; i++)
        {
            slow.Apply(new LookupRequest { Report = new GrantReport { GivenBack = { new SegmentRun { Count = 40 } } } });
        }

        using var other = Open("b");
        await _coordination.StartAsync(CancellationToken.None);
        var (toldSlow, toldOther) = (new ToldNode(), new ToldNode());
        var next = NextAsync(other);
        while (toldOther.Granted.Count == 0)
        {
            _time.Advance(TimeSpan.FromMilliseconds(250));
            await Task.Yield();
            if (next.IsCompleted)
            {
                toldOther.Apply(await next);
                next = NextAsync(other);
            }
        }

        await _coordination.StopAsync(CancellationToken.None);
        for (; next.IsCompleted; next = NextAsync(other))
        {
            toldOther.Apply(await next);
        }

        for (next = NextAsync(slow); next.IsCompleted; next = NextAsync(slow))
        {
            toldSlow.Apply(await next);
        }

        Assert.NotEmpty(toldSlow.Revoked);
        Assert.Empty(toldSlow.Granted.Intersect(toldOther.Granted));
    }

    private static Want Want(string node, long size, bool canReachOrigin = true) =>
        new() { Member = Member(node), Digest = Content.ToString(), Size = size, CanReachOrigin = canReachOrigin };

    private static Member Member(string node) => new() { Node = node, Incarnation = 1 };

    private static async Task<LookupResponse> NextAsync(ILookupSession session) =>
        await session.NextAsync(CancellationToken.None).AsTask().WaitAsync(TimeSpan.FromSeconds(30));

    private ILookupSession Open(string node, long size = Size, bool canReachOrigin = true, PieceRun? have = null)
    {
        var want = Want(node, size, canReachOrigin);
        want.Have.AddRange(have is null ? [] : [have]);
        return _coordination.Open(want);
    }

    private HolderDirectory.Lease Announce(string node)
    {
        var lease = _directory.OpenLease(Member(node))!;
        lease.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Content.ToString(), Size = Size, MediaType = "type", Complete = true } } });
        return lease;
    }
}
