using Peerd.Node.Facade;

namespace Peerd.Tests.Facade;

public sealed class FacadeHandlerTests
{
    [Theory]
    [InlineData(9, 0, 9)]
    [InlineData(9, 4, 5)]
    [InlineData(9, 5, 4.5)]
    [InlineData(1, 5, 0.5)]
    public void LeftOf_HasWaited_IsSoMuchLessButHalfAtLeast(double timeout, double waited, double left) =>
        Assert.Equal(TimeSpan.FromSeconds(left), FacadeHandler.LeftOf(TimeSpan.FromSeconds(timeout), TimeSpan.FromSeconds(waited)));
}
