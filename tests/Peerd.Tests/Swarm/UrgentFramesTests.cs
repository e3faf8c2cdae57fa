using Peerd.Node.Swarm;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Swarm;

public sealed class UrgentFramesTests : IDisposable
{
    // Two frames a piece.
    private readonly OpenSample _open = new(32 << 20);
    private readonly UrgentFrames _urgent = new();

    public void Dispose() => _open.Dispose();

    [Fact]
    public void NextMissing_NothingIsHere_FramesOfOnePiece()
    {
        Assert.Equal((1, 2), _urgent.NextMissing(1, 6, _open.Content));
        Assert.Equal((2, 4), _urgent.NextMissing(2, 6, _open.Content));
        Assert.Equal((4, 5), _urgent.NextMissing(4, 5, _open.Content));
    }

    [Fact]
    public void NextMissing_SomeAreHereOrFetched_TheOthers()
    {
        _open.Sample.WriteFrame(_open.Content, 0);
        _urgent.Began(1, 3);

        Assert.Equal((3, 4), _urgent.NextMissing(0, 4, _open.Content));
        Assert.Null(_urgent.NextMissing(0, 3, _open.Content));

        _urgent.Ended(1, 3);
        Assert.Equal((1, 2), _urgent.NextMissing(0, 4, _open.Content));
    }

    [Fact]
    public void IsAnyAwaited_PieceOfAFrameThatAReaderWaitsFor_UntilThatIsHere()
    {
        _urgent.Await(3, 5, _open.Content);
        Assert.Equal((false, true, true), (IsAwaited(0), IsAwaited(1), IsAwaited(2)));

        _open.Sample.WriteFrame(_open.Content, 3);
        Assert.Equal((false, true), (IsAwaited(1), IsAwaited(2)));

        bool IsAwaited(int piece) => _urgent.IsAnyAwaited(piece, 1, _open.Content);
    }
}
