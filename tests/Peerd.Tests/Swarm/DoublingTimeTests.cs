using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class DoublingTimeTests
{
    [Theory]
    [InlineData(0, 3)]
    [InlineData(1, 6)]
    [InlineData(10, 3072)]
    [InlineData(11, 3072)]
    [InlineData(int.MaxValue, 3072)]
    public void After_SoManyTimes_HasDoubledSoOften(int times, int expected) =>
        Assert.Equal(TimeSpan.FromSeconds(expected), DoublingTime.After(times, TimeSpan.FromSeconds(3), TimeSpan.MaxValue));

    [Fact]
    public void After_MoreThanTheLongest_IsTheLongest() =>
        Assert.Equal(TimeSpan.FromSeconds(5), DoublingTime.After(1, TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(5)));
}
