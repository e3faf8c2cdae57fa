using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>One to four ask, and one or two hold everything.</summary>
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

    [Fact]
    public void Match_AnotherAskerWantsSomething_HalfOfTheHoldersPlacesAreForIt()
    {
        var holder = AddHolder("holder");
        var another = AddAsker("another");

        Match(TimeSpan.Zero);
        Assert.Equal(holder.Tokens / 2, holder.CountServed(_asker));
        Match(TimeSpan.Zero, another);
        Assert.Equal(holder.Tokens / 2, holder.CountServed(another));
        Match(TimeSpan.Zero, _asker, another);
        Assert.Equal(holder.Tokens, holder.Serving.Count);
    }

    [Fact]
    public void Match_AnotherAskerWantsNothing_AllPlacesAreForOne()
    {
        AddHolder("holder");
        AddAsker("another").Asker!.Wanted = new PieceSet(_table.Layout.SegmentCount);

        Assert.Equal(_table.Credits, Match(TimeSpan.Zero).Count);
    }

    [Fact]
    public void Match_AllThatAnotherAskerLacksIsOnItsWay_AllPlacesAreForOne()
    {
        var holder = AddHolder("holder");
        var another = AddAsker("another");
        another.Asker!.Wanted = new PieceSet(_table.Layout.SegmentCount);
        another.Asker.Wanted.AddRun(0, 1);
        Match(TimeSpan.Zero, another);
        Assert.Equal(1, holder.CountServed(another));

        Match(TimeSpan.Zero);
        Assert.Equal(holder.Tokens - 1, holder.CountServed(_asker));
    }

    [Fact]
    public void Match_TheOtherAskerIsTheHolder_AllItsPlacesAreForOne()
    {
        var holder = AddHolder("holder");
        holder.Asker = new Asker();

        Assert.Equal(_table.Credits, Match(TimeSpan.Zero).Count);
    }

    [Fact]
    public void Match_ManyAsk_OneMayTakeAllPlaces()
    {
        AddHolder("holder");
        for (var i = 0; i < Policy.Few; i++)
        {
            AddAsker($"another{i}");
        }

        Assert.Equal(_table.Credits, Match(TimeSpan.Zero).Count);
    }

    private Participant AddAsker(string name)
    {
        var asker = new Participant(name, string.Empty) { Asker = new Asker() };
        _table.Enter(asker);
        _participants.Add(asker);
        return asker;
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

    private List<string> Match(TimeSpan now) => Match(now, _asker);

    /// <summary>All ask, but only these are free to fetch something.</summary>
    private List<string> Match(TimeSpan now, params Participant[] free)
    {
        var assigned = new List<string>();
        var askers = _participants.FindAll(static participant => participant.Asker is not null);
        foreach (var asker in askers)
        {
            asker.Asker!.NotBefore = free.Contains(asker) ? TimeSpan.Zero : TimeSpan.MaxValue;
        }

        _matcher.Match(askers, _participants, _table, now, fetch => assigned.Add(fetch.From.Node));
        return assigned;
    }
}
