using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class GrantPaceTests
{
    private readonly GrantPace _pace = new(perSecond: 10);

    [Fact]
    public void HasToken_BucketIsFull_AsManyAsInASecond() => Assert.Equal(10, TakeAll(TimeSpan.Zero));

    [Theory]
    [InlineData(0.05, 0)]
    [InlineData(0.1, 1)]
    [InlineData(0.95, 9)]
    [InlineData(1, 10)]
    [InlineData(100, 10)]
    public void HasToken_SomeTimeAfterAllWereTaken_SoManyHaveComeBack(double seconds, int tokens)
    {
        TakeAll(TimeSpan.Zero);

        Assert.Equal(tokens, TakeAll(TimeSpan.FromSeconds(seconds)));
    }

    private int TakeAll(TimeSpan now)
    {
        var taken = 0;
        for (; _pace.HasToken(now); taken++)
        {
            _pace.Take(now);
        }

        return taken;
    }
}
