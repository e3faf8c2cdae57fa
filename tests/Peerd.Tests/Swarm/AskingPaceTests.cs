using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class AskingPaceTests
{
    private static readonly CoordinatorPolicy Policy = new();

    private readonly AskingPace _pace = new(Policy);

    [Theory]
    [InlineData(false, "25 50 100 200 250 250")]
    [InlineData(true, "250 250")]
    public void Next_OthersAskThere_SoonAtFirstWhereTheSizeIsNotKnown(bool isSizeKnown, string milliseconds) =>
        Assert.All(milliseconds.Split(' '), expected => Assert.Equal(expected, $"{_pace.Next(new LookupResponse { State = LookupState.Available }, isSizeKnown).TotalMilliseconds:0}"));

    // The other one would deal again.
    [Fact]
    public void Next_NobodyAsksThere_BeforeTheHandOverIsForgotten() =>
        Assert.InRange(_pace.Next(new LookupResponse { State = LookupState.Unavailable }, isSizeKnown: false), Policy.HandOver / 2, Policy.HandOver - TimeSpan.FromMilliseconds(100));

    [Fact]
    public void Next_NoAnswer_SoonAFewTimes() =>
        Assert.Equal([250, 250, 250, 250, 1000, 1000], Enumerable.Range(0, 6).Select(_ => (int)_pace.Next(null, isSizeKnown: false).TotalMilliseconds));
}
