using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class MovementTests
{
    [Fact]
    public void NextAsync_AMove_CompletesWhatWasAskedForBefore()
    {
        var movement = new Movement();
        var before = movement.NextAsync;

        movement.Move();

        Assert.Equal((true, false), (before.IsCompletedSuccessfully, movement.NextAsync.IsCompleted));
    }
}
