using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>One asks, and one or two hold everything.</summary>
public sealed class PeerMatcherTests
{
    private static readonly CoordinatorPolicy Policy = new();
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly SegmentTable _table = new(Policy, new ContentLayout(256 << 20));
    private readonly PeerMatcher _matcher = new(Policy, new Random(1));
    private readonly Participant _asker = new("asker", string.Empty) { Asker = new Asker() };
    private readonly List<Participant> _participants;

    public PeerMatcherTests()
    {
        _participants = [_asker];
        _table.Enter(_asker);
        _asker.Asker!.Avoid("slow", Pause, TimeSpan.Zero);
    }

    [Fact]
    public void Match_AvoidedHolderIsTheOnlyOne_ServesOneAtATime()
    {
        AddHolder("slow");

        Assert.Equal(["slow"], Match(TimeSpan.Zero));
        Assert.Empty(Match(Pause - TimeSpan.FromTicks(1)));
        Assert.Equal(_table.Credits - 1, Match(Pause).Count);
    }

    [Fact]
    public void Match_AnotherHolderIsThere_AvoidedOneServesNothing()
    {
        AddHolder("slow");
        AddHolder("other").Tokens = 3;

        Assert.Equal(["other", "other", "other"], Match(TimeSpan.Zero));
        Assert.Equal(_table.Credits - 3, Match(Pause).Count(holder => holder == "slow"));
    }

    [Fact]
    public void Avoid_AnotherPauseIsOver_IsNotRemembered()
    {
        _asker.Asker!.Avoid("other", 2 * Pause, Pause);

        Assert.Equal(["other"], _asker.Asker.Avoided.Keys);
    }

    private Participant AddHolder(string name)
    {
        var holder = new Participant(name, string.Empty);
        var everything = new PieceSet(_table.Layout.PieceCount);
        everything.AddRun(0, everything.Capacity);
        _table.Enter(holder);
        _table.SetPieces(holder, everything);
        _participants.Add(holder);
        return holder;
    }

    private List<string> Match(TimeSpan now)
    {
        var assigned = new List<string>();
        _matcher.Match([_asker], _participants, _table, now, fetch => assigned.Add(fetch.From.Node));
        return assigned;
    }
}
