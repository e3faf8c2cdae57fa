using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class FirstChecksumsTests
{
    private static readonly CoordinatorPolicy Policy = new() { ChecksumsAtOnce = 2 };

    private readonly FirstChecksums _checksums = new(Policy);
    private readonly Participant _participant = new("a", string.Empty) { Asker = new Asker() };

    [Fact]
    public void Add_ThePieceIsKnown_LaterWordsDoNotCount()
    {
        Assert.Equal((true, false), (_checksums.Add(3, [1]), _checksums.Add(3, [2])));

        Assert.Equal([(3, 1)], Tell(TimeSpan.Zero));
    }

    [Fact]
    public void Tell_MoreThanAreToldAtOnce_TheRestNextTime()
    {
        Array.ForEach([5, 3, 4], piece => _checksums.Add(piece, [1]));

        Assert.Equal([(5, 1), (3, 1)], Tell(TimeSpan.Zero));
        Assert.Empty(Tell(Policy.ChecksumInterval - TimeSpan.FromTicks(1)));
        Assert.Equal([(4, 1)], Tell(Policy.ChecksumInterval));
    }

    [Fact]
    public void Tell_SomethingElseIsToldAnyway_AtOnce()
    {
        _checksums.Add(1, [1]);
        Tell(TimeSpan.Zero);
        _checksums.Add(2, [1]);

        _participant.Asker!.Pending.Size = 1;

        Assert.Equal([(2, 1)], Tell(TimeSpan.Zero));
    }

    [Fact]
    public void Clear_SomeWereTold_OnlyWhatIsAddedSinceIs()
    {
        _checksums.Add(1, [1]);
        Tell(TimeSpan.Zero);

        _checksums.Clear([_participant]);

        Assert.True(_checksums.Add(1, [2]));
        Assert.Equal([(1, 2)], Tell(Policy.ChecksumInterval));
    }

    private List<(int Piece, int Checksum)> Tell(TimeSpan now)
    {
        var asker = _participant.Asker!;
        _checksums.Tell(asker, now);
        asker.LastPush = asker.HasPending ? now : asker.LastPush;
        return [.. asker.TakePending().Checksums.Select(static told => ((int)told.Piece, (int)Assert.Single(told.Frames)))];
    }
}
