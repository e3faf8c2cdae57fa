using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

public sealed class AnnouncementLogTests
{
    private const long Size = 10 * 64 * 1024;

    private static readonly Digest Content = Digest.OfSha256([1]);

    private readonly AnnouncementLog _log = new(new HashSet<Digest>());

    [Fact]
    public void Batches_FirstWordOfAll_AddsToWhatReportsSaid()
    {
        var availability = Assert.Single(Assert.Single(Say(Held(1, 2, 5))).Contents);

        Assert.False(availability.Replace);
        Assert.Equal((Content.ToString(), Size, "type", false), (availability.Digest, availability.Size, availability.MediaType, availability.Complete));
        Assert.Equal([new PieceRun { First = 1, Count = 2 }, new PieceRun { First = 5, Count = 1 }], availability.Pieces);
    }

    [Theory]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public void Batches_FirstWordOfAnotherStreamOrAfterALoss_ReplacesWhatWasSaid(bool wasSaidBefore, bool hasLost)
    {
        var log = new AnnouncementLog(new HashSet<Digest>(wasSaidBefore ? [Content] : []));

        var availability = Assert.Single(Assert.Single(log.Batches([Content], _ => Held(1) with { Losses = hasLost ? 1 : 0 })).Contents);

        Assert.True(availability.Replace);
    }

    // A report said that the piece had come, before it was lost again.
    [Fact]
    public void Batches_PieceThatWasNeverSaidIsLost_ReplacesAll()
    {
        Say(Held(1, 2));
        var availability = Assert.Single(Assert.Single(Say(Held(1, 2) with { Losses = 1 })).Contents);

        Assert.True(availability.Replace);
        Assert.Equal([new PieceRun { First = 1, Count = 2 }], availability.Pieces);
        Assert.Empty(Say(Held(1, 2) with { Losses = 1 }));
    }

    [Fact]
    public void Batches_MorePieces_SaysOnlyThose()
    {
        Say(Held(1, 2));
        var availability = Assert.Single(Assert.Single(Say(Held(1, 2, 3))).Contents);

        Assert.False(availability.Replace);
        Assert.Equal([new PieceRun { First = 3, Count = 1 }], availability.Pieces);
    }

    [Fact]
    public void Batches_AsManyRunsAsThereCanBe_FitIntoMessagesAndSayAll()
    {
        var held = new PieceSet(new ContentLayout(HolderDirectory.MaxSize).PieceCount);
        for (var piece = 0; piece < held.Capacity; piece += 2)
        {
            held.Add(piece);
        }

        var batches = _log.Batches([Content], _ => new HeldContent(HolderDirectory.MaxSize, "type", Complete: false, held, Losses: 1)).ToList();

        Assert.All(batches, batch => Assert.InRange(batch.CalculateSize(), 1, ProtocolConstants.MaxRequestBytes / 2));
        var said = new PieceSet(held.Capacity);
        batches.SelectMany(batch => batch.Contents).ToList().ForEach(part => said.AddRuns(part.Pieces));
        Assert.True(said.Count == held.Count && Enumerable.Range(0, held.Capacity).All(piece => said.Contains(piece) == held.Contains(piece)));

        // Only the first one takes away what was said before.
        Assert.Equal([true, .. Enumerable.Repeat(false, batches.Sum(batch => batch.Contents.Count) - 1)], batches.SelectMany(batch => batch.Contents).Select(part => part.Replace));
    }

    [Fact]
    public void Batches_ManyContentsWithLongOrders_FitIntoMessages()
    {
        var contents = Enumerable.Range(0, 400).Select(i => Digest.OfSha256(BitConverter.GetBytes(i))).ToList();
        int[] order = [.. Enumerable.Range(0, ProtocolConstants.MaxStartupOrder)];

        var batches = _log.Batches(contents, _ => new HeldContent(1L << 34, "type", Complete: true, new PieceSet(1 << 14)) { StartupOrder = order }).ToList();

        Assert.All(batches, batch => Assert.InRange(batch.CalculateSize(), 1, ProtocolConstants.MaxRequestBytes / 2));
        Assert.Equal(contents.Select(content => content.ToString()), batches.SelectMany(batch => batch.Contents).Select(content => content.Digest));
    }

    [Fact]
    public void Batches_OtherPieces_ReplacesAll()
    {
        Say(Held(1, 2));
        var availability = Assert.Single(Assert.Single(Say(Held(2, 3))).Contents);

        Assert.True(availability.Replace);
        Assert.Equal([new PieceRun { First = 2, Count = 2 }], availability.Pieces);
    }

    [Fact]
    public void Batches_Complete_SaysNoPieces()
    {
        Say(Held(1, 2));
        var availability = Assert.Single(Assert.Single(Say(Complete())).Contents);

        Assert.True(availability.Complete);
        Assert.Empty(availability.Pieces);
        Assert.Empty(Say(Complete()));
    }

    [Fact]
    public void Batches_CompleteNoMore_ReplacesAll()
    {
        Say(Complete());
        var availability = Assert.Single(Assert.Single(Say(Held(0))).Contents);

        Assert.True(availability.Replace);
        Assert.False(availability.Complete);
    }

    [Fact]
    public void Batches_NothingNew_SaysNothing()
    {
        Say(Held(1, 2));

        Assert.Empty(Say(Held(1, 2)));
    }

    [Fact]
    public void Batches_HeldNoMore_WithdrawsOnce()
    {
        Assert.Empty(Say(null));
        Say(Held(1));
        Assert.Equal([Content], _log.Said);

        Assert.Equal([Content.ToString()], Assert.Single(Say(null)).Withdrawn);
        Assert.Empty(_log.Said);
        Assert.Empty(Say(null));
    }

    [Fact]
    public void Batches_ManyContents_AreSaidInSeveral()
    {
        var digests = Enumerable.Range(0, 600).Select(i => Digest.OfSha256(BitConverter.GetBytes(i))).ToList();

        var batches = _log.Batches(digests, _ => Complete()).ToList();

        Assert.Equal([256, 256, 88], batches.Select(batch => batch.Contents.Count));
    }

    [Fact]
    public void Batches_StartupOrderGrows_IsSaidWholeEachTimeAndOtherwiseNot()
    {
        Assert.Empty(Assert.Single(Assert.Single(Say(Held(1))).Contents).StartupOrder);
        Assert.Equal([4u, 1], Assert.Single(Assert.Single(Say(Held(1) with { StartupOrder = [4, 1] })).Contents).StartupOrder);
        Assert.Empty(Say(Held(1) with { StartupOrder = [4, 1] }));
        Assert.Empty(Assert.Single(Assert.Single(Say(Held(1, 2) with { StartupOrder = [4, 1] })).Contents).StartupOrder);
        Assert.Equal([4u, 1, 0], Assert.Single(Assert.Single(Say(Held(1, 2) with { StartupOrder = [4, 1, 0] })).Contents).StartupOrder);
    }

    [Fact]
    public void Batches_HolderChangesItsSetLater_TheLogKeptACopy()
    {
        var held = Held(1);
        Say(held);
        held.Pieces.Add(2);

        Assert.Single(Say(held));
    }

    [Fact]
    public void Repeat_HeldInPart_IsSaidAllOverAgainThoughNothingHasChanged()
    {
        Say(Held(1, 2) with { StartupOrder = [2] });
        _log.Repeat(Content);

        var again = Assert.Single(Assert.Single(Say(Held(1, 2) with { StartupOrder = [2] })).Contents);
        Assert.True(again.Replace);
        Assert.Equal([new PieceRun { First = 1, Count = 2 }], again.Pieces);
        Assert.Equal([2u], again.StartupOrder);
        Assert.Empty(Say(Held(1, 2) with { StartupOrder = [2] }));
    }

    [Fact]
    public void Repeat_HeldWholeOrNotAtAll_NothingIsSaid()
    {
        Say(Complete());
        _log.Repeat(Content);
        _log.Repeat(Digest.OfSha256([9]));

        Assert.Empty(Say(Complete()));
    }

    private static HeldContent Complete() => new(Size, "type", Complete: true, Held(Enumerable.Range(0, 10).ToArray()).Pieces);

    private static HeldContent Held(params int[] pieces)
    {
        var set = new PieceSet(10);
        foreach (var piece in pieces)
        {
            set.Add(piece);
        }

        return new HeldContent(Size, "type", Complete: false, set);
    }

    private List<AnnounceRequest> Say(HeldContent? held) => [.. _log.Batches([Content], _ => held)];
}
