using Peerd.Node.Hosting.Events;

namespace Peerd.Tests.Hosting.Events;

/// <summary>Events are true: each is told when its condition has come to hold, and only then.</summary>
public sealed class EventRulesTests
{
    private static readonly NodeState Alone = new(IsSynced: true, Others: 0, Reach: default, PeerBytes: 0, Failures: 0, IsServing: true);
    private static readonly NodeState Reaching = Alone with { Others = 4, Reach = new Reach(IsReaching: true, AskedInVain: 0) };
    private static readonly NodeState Lost = Alone with { Others = 4, Reach = new Reach(IsReaching: false, AskedInVain: 4) };

    private readonly EventRules _rules = new();
    private TimeSpan _now;

    [Fact]
    public void Connected_MembersAreNotKnownYet_IsNotTold()
    {
        Assert.Empty(Look(Alone with { IsSynced = false }));
        Assert.Empty(Look(Reaching with { IsSynced = false }));
        Assert.Empty(Look(Lost with { IsSynced = false }, after: TimeSpan.FromHours(1)));
    }

    [Fact]
    public void Connected_NobodyWasAskedYet_IsNotTold() => Assert.Empty(Look(Reaching with { Reach = default }));

    [Fact]
    public void Connected_AnotherAnswers_IsToldOnce()
    {
        var told = Assert.Single(Look(Reaching));
        Assert.Equal(("P2PConnected", "Normal"), (told.Reason, told.Type));
        Assert.Contains("4 other nodes", told.Message, StringComparison.Ordinal);

        Assert.Empty(Look(Reaching, after: TimeSpan.FromHours(1)));
        Assert.Empty(Look(Alone, after: TimeSpan.FromHours(1)));
    }

    // "Ready" would not be true.
    [Fact]
    public void Connected_ThisNodeAnswersNobody_IsToldOnceItDoes()
    {
        Assert.Empty(Look(Reaching with { IsServing = false }));
        Assert.Empty(Look(Alone with { IsServing = false }, after: TimeSpan.FromHours(1)));

        Assert.Equal("P2PConnected", Assert.Single(Look(Reaching)).Reason);
        Assert.Empty(Look(Reaching with { IsServing = false }, after: TimeSpan.FromHours(1)));
    }

    [Fact]
    public void Connected_AloneOnTheRing_SaysSo() => Assert.Contains("only node", Assert.Single(Look(Alone)).Message, StringComparison.Ordinal);

    [Fact]
    public void Disconnected_NobodyAnswersForLong_IsToldOnceAndConnectedAfterIt()
    {
        Look(Reaching);

        Assert.Empty(Look(Lost));
        Assert.Empty(Look(Lost, after: EventRules.LossTime - TimeSpan.FromSeconds(1)));
        var told = Assert.Single(Look(Lost, after: TimeSpan.FromSeconds(1)));
        Assert.Equal(("P2PDisconnected", "Warning"), (told.Reason, told.Type));
        Assert.StartsWith("None of the 4 other nodes of the mesh answers", told.Message, StringComparison.Ordinal);
        Assert.Empty(Look(Lost, after: TimeSpan.FromHours(1)));
        Assert.Equal("P2PConnected", Assert.Single(Look(Reaching)).Reason);
    }

    [Fact]
    public void Disconnected_StreamsBreakForAMoment_IsNotTold()
    {
        Look(Reaching);
        for (var i = 0; i < 10; i++)
        {
            Assert.Empty(Look(Lost, after: EventRules.LossTime / 2));
            Assert.Empty(Look(Reaching, after: EventRules.LossTime / 2));
        }
    }

    [Fact]
    public void Disconnected_TheOthersAreGone_IsNotTold()
    {
        Look(Reaching);
        Look(Lost);

        Assert.Empty(Look(Alone, after: EventRules.LossTime * 2));
        Assert.Empty(Look(Alone, after: EventRules.LossTime * 2));
    }

    [Fact]
    public void Disconnected_FromTheStart_IsTold()
    {
        Assert.Empty(Look(Lost));
        Assert.Equal("P2PDisconnected", Assert.Single(Look(Lost, after: EventRules.LossTime)).Reason);
    }

    [Fact]
    public void Disconnected_FewOfManyWereAsked_IsNotToldBeforeEnoughWere()
    {
        Look(Reaching);
        var lost = Lost with { Others = 200, Reach = new Reach(IsReaching: false, EventRules.EnoughAsked - 1) };
        Assert.Empty(Look(lost));
        Assert.Empty(Look(lost, after: TimeSpan.FromHours(1)));

        var told = Assert.Single(Look(lost with { Reach = new Reach(IsReaching: false, 48) }));

        Assert.StartsWith("None of 48 that were asked, of the 200 other nodes of the mesh, answers", told.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Active_BytesComeAfterAnIdleTime_IsTold()
    {
        Look(Reaching);

        var told = Assert.Single(Look(Reaching with { PeerBytes = 1 }));
        Assert.Equal(("P2PActive", "Normal"), (told.Reason, told.Type));
        for (var i = 2; i < 200; i++)
        {
            // Less than the idle time lies between them.
            Assert.Empty(Look(Reaching with { PeerBytes = i }, after: EventRules.IdleTime - TimeSpan.FromSeconds(1)));
        }

        Assert.Empty(Look(Reaching with { PeerBytes = 199 }, after: EventRules.IdleTime));
        Assert.Equal("P2PActive", Assert.Single(Look(Reaching with { PeerBytes = 200 })).Reason);
    }

    [Fact]
    public void Failed_RequestsFail_IsToldAtMostOnceAMinuteWithTheirNumber()
    {
        Look(Reaching);

        var told = Assert.Single(Look(Reaching with { Failures = 1 }));
        Assert.Equal(("P2PFailed", "Warning"), (told.Reason, told.Type));
        Assert.StartsWith("1 request ", told.Message, StringComparison.Ordinal);
        Assert.Empty(Look(Reaching with { Failures = 5 }, after: EventRules.FailureTime - TimeSpan.FromSeconds(1)));
        Assert.StartsWith("7 requests ", Assert.Single(Look(Reaching with { Failures = 8 }, after: TimeSpan.FromSeconds(1))).Message, StringComparison.Ordinal);
        Assert.Empty(Look(Reaching with { Failures = 8 }, after: EventRules.FailureTime));
    }

    private IReadOnlyList<PodEvent> Look(NodeState state, TimeSpan after = default)
    {
        _now += after;
        return _rules.Look(state, _now);
    }
}
