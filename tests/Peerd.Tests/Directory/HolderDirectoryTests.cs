using System.Net;
using System.Threading.Channels;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

public sealed class HolderDirectoryTests : IHolderObserver
{
    private const long Size = 10 * 64 * 1024;

    private static readonly Digest Content = Digest.OfSha256([1]);

    private readonly FakeTimeProvider _time = new();
    private readonly HolderDirectory _directory;
    private readonly List<(Digest Content, string Node)> _changes = [];
    private readonly List<Digest> _mismatched = [];

    public HolderDirectoryTests()
    {
        _directory = new HolderDirectory(_time);
        _directory.Observe(this);
    }

    void IHolderObserver.HolderChanged(Digest content, string node)
    {
        // Outside any lock: the observer may ask.
        _ = _directory.Find(content, node);
        _changes.Add((content, node));
    }

    void IHolderObserver.Mismatched(Digest content) => _mismatched.Add(content);

    [Fact]
    public void Apply_AMillionContents_TakeBoundedMemory()
    {
        var lease = Open("greedy");
        for (var some = 0; some < 50; some++)
        {
            lease.Apply(Invented(some, 20_000));
        }

        Assert.InRange(_directory.Count, 100_000, 131_072);
        Assert.InRange(_directory.Bytes, 1, 64L << 20);

        // Nobody else has less room for that.
        Open("modest").Apply(Announce(complete: true));
        Assert.NotNull(_directory.Find(Content, "modest"));
    }

    [Fact]
    public void Apply_MediaTypes_CountAndAreNotKeptWhenTooLong()
    {
        var lease = Open("greedy");
        lease.Apply(Announce(complete: true));
        var before = _directory.Bytes;
        var (longest, tooLong) = (Digest.OfSha256([2]), Digest.OfSha256([3]));

        lease.Apply(new AnnounceRequest
        {
            Contents =
            {
                new Availability { Digest = longest.ToString(), Size = 1, Complete = true, MediaType = $"{new string('x', 127)}/{new string('y', 127)}" },
                new Availability { Digest = tooLong.ToString(), Size = 1, Complete = true, MediaType = new string('x', 4 << 20) },
            },
        });

        Assert.True(_directory.TryFind(longest, out var entry));
        Assert.Equal(255, entry.MediaType.Length);
        Assert.True(_directory.TryFind(tooLong, out entry));
        Assert.Equal(string.Empty, entry.MediaType);
        Assert.InRange(_directory.Bytes - before, (2 * 512) + (2 * 255), (2 * 640) + (2 * 255));

        // It may be told later, by the same or another one, and all of it goes with its holders.
        Open("other").Apply(new AnnounceRequest { Contents = { new Availability { Digest = tooLong.ToString(), Size = 1, Complete = true, MediaType = "a/late" } } });
        lease.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Content.ToString(), Size = Size, Complete = true, MediaType = "a/late" } } });
        lease.Apply(new AnnounceRequest { Withdrawn = { Content.ToString(), longest.ToString(), tooLong.ToString() } });
        Assert.InRange(_directory.Bytes, 512 + 8, 640);
    }

    [Fact]
    public void Apply_ManyNamesThatAreNoMembers_ShareTheMemoryOfOne()
    {
        var directory = new HolderDirectory(_time, name => name == "member");
        var leases = Enumerable.Range(0, 2000).Select(i => directory.OpenLease(new Member { Node = $"name-{i}", Incarnation = 1 })).OfType<HolderDirectory.Lease>().ToList();
        Assert.Equal(1024, leases.Count);
        for (var i = 0; i < 20; i++)
        {
            leases[i].Apply(Invented(i, 20_000));
        }

        Assert.InRange(directory.Bytes, 1, 64L << 20);
        directory.OpenLease(new Member { Node = "member", Incarnation = 1 })!.Apply(Announce(complete: true));
        Assert.NotNull(directory.Find(Content, "member"));
    }

    [Fact]
    public void Apply_NameBecomesAMember_HasItsOwnMemoryAtOnce()
    {
        var isMember = false;
        var directory = new HolderDirectory(_time, name => name == "late" && isMember);
        var late = directory.OpenLease(new Member { Node = "late", Incarnation = 1 })!;
        late.Apply(Invented(0, 1000));
        directory.OpenLease(new Member { Node = "stranger", Incarnation = 1 })!.Apply(Invented(1, 140_000));
        late.Apply(Announce(complete: true));
        Assert.Null(directory.Find(Content, "late"));

        isMember = true;
        late.Apply(Announce(complete: true));

        Assert.NotNull(directory.Find(Content, "late"));
    }

    [Fact]
    public async Task Apply_Mismatched_AllHoldersAreToldOnceAndThoseOfAPartAreForgotten()
    {
        var (finder, part, whole) = (Open("finder"), Open("part"), Open("whole"));
        finder.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 10 }]));
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        whole.Apply(Announce(complete: true));

        finder.Apply(new AnnounceRequest { Mismatched = { Content.ToString() } });

        Assert.Equal([Content], _mismatched);
        Assert.True(_directory.TryFind(Content, out var entry));
        Assert.Equal("whole", Assert.Single(entry.Holders).Node);
        Assert.Equal(Content, await part.NextDiscardAsync(TestContext.Current.CancellationToken));
        Assert.Equal(Content, await whole.NextDiscardAsync(TestContext.Current.CancellationToken));
        using var none = new CancellationTokenSource();
        Assert.All([finder, whole, part], lease => Assert.False(lease.NextDiscardAsync(none.Token).AsTask().IsCompleted));

        // Again and again it would keep everybody from ever having the content.
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        finder.Apply(new AnnounceRequest { Mismatched = { Content.ToString() } });
        Assert.Single(_mismatched);
        Assert.Equal(2, _directory.TryFind(Content, out entry) ? entry.Holders.Count : 0);
        await none.CancelAsync();
    }

    // Who dropped it may have read the same wrong bytes at the same origin again.
    [Fact]
    public async Task Sweep_FoundWrongAndSinceThenWholeSomewhere_PartsAreDiscardedOnceMore()
    {
        var (finder, part) = (Open("finder"), Open("part"));
        finder.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 10 }]));
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        finder.Apply(new AnnounceRequest { Mismatched = { Content.ToString() } });
        Assert.Equal(Content, await part.NextDiscardAsync(TestContext.Current.CancellationToken));
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));

        // Nobody knows better yet.
        _time.Advance(HolderDirectory.DiscardPause + DiscardPauses.Delivery);
        _directory.Sweep();
        Assert.NotNull(_directory.Find(Content, "part"));

        finder.Apply(Announce(complete: true));
        _directory.Sweep();

        Assert.Null(_directory.Find(Content, "part"));
        Assert.NotNull(_directory.FindComplete(Content, "finder"));
        Assert.Equal([Content, Content], _mismatched);
        Assert.Equal(Content, await part.NextDiscardAsync(TestContext.Current.CancellationToken));

        // What comes then comes from who has it.
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        _time.Advance(DiscardPauses.Longest);
        _directory.Sweep();
        Assert.NotNull(_directory.Find(Content, "part"));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Sweep_FoundWrongJustNowOrWhenItWasWholeSomewhere_NothingMoreIsDiscarded(bool wasWhole)
    {
        var (finder, part, whole) = (Open("finder"), Open("part"), Open("whole"));
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        if (wasWhole)
        {
            whole.Apply(Announce(complete: true));
        }

        finder.Apply(new AnnounceRequest { Mismatched = { Content.ToString() } });
        part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
        whole.Apply(Announce(complete: true));
        _time.Advance(wasWhole ? DiscardPauses.Longest : HolderDirectory.DiscardPause + DiscardPauses.Delivery - TimeSpan.FromTicks(1));
        _directory.Sweep();

        Assert.NotNull(_directory.Find(Content, "part"));
        Assert.Single(_mismatched);
    }

    // A pull that takes longer than each pause would else never come to its end.
    [Fact]
    public void Apply_MismatchedAllTheTime_IsBelievedMoreAndMoreSeldom()
    {
        var (liar, part) = (Open("liar"), Open("part"));
        liar.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        for (var second = 0; second < 3600; second++)
        {
            // Whatever else it makes up.
            for (var i = 0; i < 3; i++)
            {
                var junk = Digest.OfSha256(BitConverter.GetBytes((3 * second) + i));
                liar.Apply(Announce(junk, complete: true));
                liar.Apply(new AnnounceRequest { Mismatched = { junk.ToString() }, Withdrawn = { junk.ToString() } });
            }

            part.Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));
            liar.Apply(new AnnounceRequest { Mismatched = { Content.ToString() } });
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        // After 0, 10, 30, 70, … seconds.
        Assert.InRange(_mismatched.Count(digest => digest == Content), 1, 9);
    }

    [Fact]
    public void Apply_StartupOrders_WhatOthersSawBesidesGoesBehindTheFirstAsLongAsSomebodyHoldsTheContent()
    {
        var (first, second) = (Open("first"), Open("second"));
        first.Apply(Announce(order: [3, 1, 99, 2]));
        second.Apply(Announce(order: [7, 1]));
        Assert.Equal([3u, 1, 2, 7], _directory.StartupOrderOf(Content));

        second.Apply(Announce(order: [7, 1, 8, 0, 5]));
        Assert.Equal([3u, 1, 2, 7, 8, 0, 5], _directory.StartupOrderOf(Content));

        // Neither what says nothing of this content, however much there is of it, nor what is known changes anything.
        first.Apply(Announce(order: [7, 7, 7, 7, 7, 7, 7, 900, 901]));
        second.Apply(Announce(order: [5, 0, 8, 7, 2, 1, 3]));
        Assert.Equal([3u, 1, 2, 7, 8, 0, 5], _directory.StartupOrderOf(Content));

        first.Apply(new AnnounceRequest { Withdrawn = { Content.ToString() } });
        second.Apply(new AnnounceRequest { Withdrawn = { Content.ToString() } });
        Assert.Empty(_directory.StartupOrderOf(Content));
    }

    [Fact]
    public void Apply_Pieces_AreFoundAndObserved()
    {
        Open("a").Apply(Announce(pieces: [new PieceRun { First = 2, Count = 3 }]));

        Assert.True(_directory.TryFind(Content, out var entry));
        Assert.Equal((Size, "a/type"), (entry.Size, entry.MediaType));
        Assert.Equal([(2, 3)], Assert.Single(entry.Holders).Pieces.Runs());
        Assert.Equal((Content, "a"), Assert.Single(_changes));
    }

    [Fact]
    public void Apply_Withdrawn_ContentWithoutHolderIsForgotten()
    {
        var lease = Open("a");
        lease.Apply(Announce(complete: true));
        lease.Apply(new AnnounceRequest { Withdrawn = { Content.ToString() } });

        Assert.Equal(0, _directory.Count);
        Assert.Equal(2, _changes.Count);
    }

    [Fact]
    public void Dispose_StreamBroke_EntriesLiveForTheGrace()
    {
        var lease = Open("a");
        lease.Apply(Announce(complete: true));
        lease.Dispose();

        _time.Advance(HolderDirectory.Grace - TimeSpan.FromTicks(1));
        _directory.Sweep();
        Assert.NotNull(_directory.Find(Content, "a"));
        _time.Advance(TimeSpan.FromTicks(1));
        _directory.Sweep();

        Assert.Null(_directory.Find(Content, "a"));
    }

    // All else waits while the directory forgets.
    [Fact]
    public void Sweep_ManyLeasesEndedOrReplaced_OnlyTheirOwnEntriesAreLookedAt()
    {
        var honest = Open("honest");
        for (var some = 0; some < 5; some++)
        {
            honest.Apply(Invented(some, 20_000));
        }

        var former = Open("busy");
        former.Apply(Announce(complete: true));
        for (var i = 0; i < 20_000; i++)
        {
            Open("busy", isReport: true).Dispose();
        }

        Open("busy").Apply(new AnnounceRequest { Synchronized = true });
        for (var incarnation = 2UL; incarnation < 1000; incarnation++)
        {
            Open("busy", incarnation).Dispose();
        }

        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();

        Assert.Equal(100_000, _directory.Count);
        Assert.InRange(_directory.Visited, 1, 10);
        honest.Leave();
        Assert.Equal(0, _directory.Count);
    }

    [Fact]
    public void Apply_AnnouncedAgainWithinTheGrace_Stays()
    {
        var first = Open("a");
        first.Apply(Announce(complete: true));
        first.Dispose();
        Open("a").Apply(Announce(complete: true));

        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();

        Assert.NotNull(_directory.Find(Content, "a"));
    }

    [Fact]
    public void Apply_Synchronized_LeftoversOfFormerStreamsAreVoid()
    {
        var first = Open("a");
        first.Apply(Announce(complete: true));
        first.Dispose();
        var second = Open("a");
        second.Apply(Announce(Digest.OfSha256([2]), complete: true));
        Assert.NotNull(_directory.Find(Content, "a"));

        second.Apply(new AnnounceRequest { Synchronized = true });

        Assert.Null(_directory.Find(Content, "a"));
        Assert.NotNull(_directory.Find(Digest.OfSha256([2]), "a"));
    }

    [Fact]
    public void Apply_LateOnAFormerStream_IsIgnored()
    {
        var first = Open("a");
        var second = Open("a");
        second.Apply(Announce(complete: true));
        second.Apply(new AnnounceRequest { Synchronized = true });

        first.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        first.Apply(Announce(Digest.OfSha256([2]), complete: true));
        first.Dispose();
        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();

        Assert.True(_directory.Find(Content, "a")!.Complete);
        Assert.Null(_directory.Find(Digest.OfSha256([2]), "a"));
    }

    [Fact]
    public void Leave_Orderly_WithdrawsAtOnce()
    {
        var lease = Open("a");
        lease.Apply(Announce(complete: true));
        Open("b").Apply(Announce(complete: true));

        lease.Leave();

        Assert.Null(_directory.Find(Content, "a"));
        Assert.NotNull(_directory.Find(Content, "b"));
    }

    [Fact]
    public void OpenLease_NewerProcess_OldEntriesGoAndOldStreamsCountNoMore()
    {
        var old = Open("a", incarnation: 1);
        old.Apply(Announce(complete: true));

        var fresh = Open("a", incarnation: 2);
        Assert.Null(_directory.Find(Content, "a"));
        Assert.Equal(2, _changes.Count);
        old.Apply(Announce(complete: true));
        Assert.Null(_directory.Find(Content, "a"));
        Assert.Null(_directory.OpenLease(Member("a", 1)));

        fresh.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        old.Leave();
        old.Dispose();
        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();
        Assert.Equal(1, _directory.Find(Content, "a")!.Pieces.Count);
    }

    [Fact]
    public void OpenLease_TheNameOfAMemberClaimedElsewhere_CountsOnlyWhileTheMemberHasNoStream()
    {
        var (own, elsewhere) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.9"));
        var directory = new HolderDirectory(_time, isAt: (node, address) => node == "a" && address.Equals(own));
        var member = directory.OpenLease(Member("a", 1), from: own)!;
        member.Apply(Announce(complete: true));
        Assert.Null(directory.OpenLease(Member("a", 9), from: elsewhere));
        Assert.Null(directory.OpenLease(Member("a", 1), from: elsewhere));
        Assert.Null(directory.OpenLease(Member("a", 9), isReport: true, elsewhere));
        Assert.NotNull(directory.Find(Content, "a"));

        // What it announces lives a little longer than its stream, and as long nobody else is it.
        member.Dispose();
        Assert.Null(directory.OpenLease(Member("a", 9), from: elsewhere));
        _time.Advance(HolderDirectory.Grace);
        directory.Sweep();
        var liar = directory.OpenLease(Member("a", 9), from: elsewhere)!;
        liar.Apply(Announce(complete: true));
        Assert.NotNull(directory.Find(Content, "a"));

        // An older process of the node is the node, too, and the liar keeps the name from nobody by a stream of which he lets nothing hear.
        member = directory.OpenLease(Member("a", 1), from: own)!;
        Assert.Null(directory.Find(Content, "a"));
        Assert.True(liar.IsOutdated);
        member.Dispose();
        _time.Advance(HolderDirectory.Grace);
        directory.Sweep();
        Assert.NotNull(directory.OpenLease(Member("a", 10), from: elsewhere));

        // Nobody is this node but itself.
        Assert.NotNull(directory.OpenLease(Member("a", 0)));
        Assert.Null(directory.OpenLease(Member("a", 11), from: own));
    }

    [Fact]
    public async Task OpenLease_AMemberWhoseAddressIsNotKnown_TheLaterProcessHasTheNameAndStreamsElsewhereEnd()
    {
        var (here, there) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        var first = _directory.OpenLease(Member("a", 1), from: here)!;
        var second = _directory.OpenLease(Member("a", 2), from: here)!;

        // It is heard no more, and leaves by itself.
        Assert.True(first.IsOutdated);
        Assert.False(first.NextDiscardAsync(TestContext.Current.CancellationToken).AsTask().IsCompleted);

        var third = _directory.OpenLease(Member("a", 3), from: there)!;
        Assert.True(second.IsOutdated);
        await Assert.ThrowsAsync<ChannelClosedException>(() => second.NextDiscardAsync(TestContext.Current.CancellationToken).AsTask());
        Assert.False(third.IsOutdated);
        Assert.Null(_directory.OpenLease(Member("a", 2), from: here));
    }

    [Fact]
    public void Apply_OtherSize_TheFirstStays()
    {
        Open("a").Apply(Announce(complete: true));
        var request = Announce(complete: true);
        request.Contents[0].Size = Size + 1;
        Open("b").Apply(request);

        Assert.Null(_directory.Find(Content, "b"));
        Assert.True(_directory.TryFind(Content, out var entry));
        Assert.Equal(Size, entry.Size);
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(HolderDirectory.MaxSize + 1)]
    [InlineData(long.MaxValue)]
    public void Apply_NoSizeOfAContent_IsIgnored(long size)
    {
        var request = Announce(complete: true);
        request.Contents[0].Size = size;
        Open("a").Apply(request);

        Assert.Equal(0, _directory.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("sha256:")]
    [InlineData("sha256:0G")]
    [InlineData("../../etc/passwd")]
    public void Apply_MalformedDigest_IsIgnoredAndTheRestCounts(string digest)
    {
        var request = Announce(complete: true);
        request.Contents.Insert(0, new Availability { Digest = digest, Size = Size, Complete = true });
        request.Withdrawn.Add(digest);
        Open("a").Apply(request);

        Assert.Equal(1, _directory.Count);
    }

    [Fact]
    public void Apply_PiecesBeyondTheContent_AreClipped()
    {
        Open("a").Apply(Announce(pieces: [new PieceRun { First = 8, Count = uint.MaxValue }, new PieceRun { First = uint.MaxValue, Count = uint.MaxValue }]));

        Assert.Equal([(8, 2)], _directory.Find(Content, "a")!.Pieces.Runs());
    }

    [Fact]
    public void Apply_ReportLease_AddsPiecesAndIsKeptBySynchronized()
    {
        var report = Open("a", isReport: true);
        report.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        Open("a").Apply(new AnnounceRequest { Synchronized = true });
        Assert.NotNull(_directory.Find(Content, "a"));

        report.Dispose();
        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();

        Assert.Null(_directory.Find(Content, "a"));
    }

    [Fact]
    public void Apply_AnnounceStreamTakesOverWhatWasReported_OutlivesTheReport()
    {
        var report = Open("a", isReport: true);
        report.Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        Open("a").Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        report.Apply(Announce(pieces: [new PieceRun { First = 1, Count = 1 }]));

        report.Dispose();
        _time.Advance(HolderDirectory.Grace);
        _directory.Sweep();

        Assert.Equal([(0, 2)], _directory.Find(Content, "a")!.Pieces.Runs());
    }

    [Fact]
    public void Find_ReturnsACopy()
    {
        Open("a").Apply(Announce(pieces: [new PieceRun { First = 0, Count = 1 }]));
        _directory.Find(Content, "a")!.Pieces.Fill();

        Assert.Equal(1, _directory.Find(Content, "a")!.Pieces.Count);
    }

    private static Member Member(string node, ulong incarnation) => new() { Node = node, Incarnation = incarnation };

    // As one that says that he is each of them, or as several.
    [Fact]
    public void Apply_NodesAnnounceHugeContents_AllOfThemAreBoundedAndOthersHaveTheirShare()
    {
        var directory = new HolderDirectory(_time) { MostBytes = 4 << 20 };
        var liars = Enumerable.Range(0, 3).Select(number => directory.OpenLease(new Member { Node = $"liar {number}", Incarnation = 1 })!).ToList();
        foreach (var (number, liar) in liars.Index())
        {
            for (var i = 0; i < 40; i++)
            {
                liar.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Digest.OfSha256([1, (byte)number, (byte)i]).ToString(), Size = HolderDirectory.MaxSize, Complete = true } } });
            }
        }

        Assert.InRange(directory.Bytes, directory.MostBytes / 2, directory.MostBytes);
        var honest = directory.OpenLease(new Member { Node = "honest", Incarnation = 1 })!;
        for (var i = 0; i < 200; i++)
        {
            honest.Apply(new AnnounceRequest { Contents = { new Availability { Digest = Digest.OfSha256([2, (byte)i]).ToString(), Size = 10 << 20, Complete = true } } });
            Assert.NotNull(directory.Find(Digest.OfSha256([2, (byte)i]), "honest"));
        }

        Assert.InRange(directory.Bytes, directory.MostBytes / 2, directory.MostBytes);

        // What is gone is given back.
        liars.ForEach(liar => liar.Leave());
        honest.Apply(new AnnounceRequest { Contents = { Enumerable.Range(0, 20).Select(i => new Availability { Digest = Digest.OfSha256([3, (byte)i]).ToString(), Size = HolderDirectory.MaxSize, Complete = true }) } });
        Assert.All(Enumerable.Range(0, 20), i => Assert.NotNull(directory.Find(Digest.OfSha256([3, (byte)i]), "honest")));
    }

    private static AnnounceRequest Announce(bool complete = false, PieceRun[]? pieces = null, uint[]? order = null) => Announce(Content, complete, pieces, order);

    private static AnnounceRequest Announce(Digest content, bool complete = false, PieceRun[]? pieces = null, uint[]? order = null) => new()
    {
        Contents = { new Availability { Digest = content.ToString(), Size = Size, MediaType = "a/type", Complete = complete, Replace = pieces is null, Pieces = { pieces ?? [] }, StartupOrder = { order ?? [] } } },
    };

    private HolderDirectory.Lease Open(string node, ulong incarnation = 1, bool isReport = false)
    {
        var lease = _directory.OpenLease(Member(node, incarnation), isReport);
        Assert.NotNull(lease);
        return lease;
    }

    private static AnnounceRequest Invented(int seed, int count)
    {
        var request = new AnnounceRequest();
        for (var i = 0; i < count; i++)
        {
            request.Contents.Add(new Availability { Digest = $"sha256:{(((long)seed + 1) << 32) + i:x64}", Size = 1, Complete = true });
        }

        return request;
    }
}
