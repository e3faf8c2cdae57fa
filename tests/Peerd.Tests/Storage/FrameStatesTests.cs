using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class FrameStatesTests
{
    // Two frames a piece.
    private static readonly ContentLayout Layout = new(32L << 20);

    private readonly FrameStates _states = new(Layout);

    [Theory]
    [InlineData(FrameState.Absent, false)]
    [InlineData(FrameState.Writing, false)]
    [InlineData(FrameState.Doomed, false)]
    [InlineData(FrameState.OnDisk, true)]
    [InlineData(FrameState.Unchecked, true)]
    [InlineData(FrameState.InMemory, true)]
    [InlineData(FrameState.External, true)]
    public void Item_Set_IsHeldOrNot(object state, bool isHeld)
    {
        _states[3] = FrameState.OnDisk;
        _states[5] = (FrameState)state;

        Assert.Equal((isHeld, isHeld ? 2 : 1), (_states.Has(5), _states.Held));

        _states[5] = FrameState.Absent;
        Assert.Equal((false, 1), (_states.Has(5), _states.Held));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(int.MaxValue)]
    public void Has_NoFrame_False(int frame) => Assert.Equal((false, false), (_states.Has(frame), _states.Is(frame, FrameState.Absent)));

    [Fact]
    public void DoubtDisk_SeveralStates_OnlyDiskIsUnchecked()
    {
        _states[0] = FrameState.OnDisk;
        _states[1] = FrameState.InMemory;

        _states.DoubtDisk();

        Assert.Equal((FrameState.Unchecked, FrameState.InMemory, FrameState.Absent), (_states[0], _states[1], _states[2]));
        Assert.Equal(2, _states.Held);
    }

    [Fact]
    public void IsAny_OneFrameOfAPiece_OnlyThatPiece()
    {
        _states[3] = FrameState.External;

        Assert.Equal((false, true, false), (_states.IsAny(0, FrameState.External), _states.IsAny(1, FrameState.External), _states.IsAny(2, FrameState.External)));
    }

    [Fact]
    public void EndOfRun_FramesThatFollow_EndsBeforeAnotherStateOrBehindWhatIsWanted()
    {
        for (var frame = 0; frame < 4; frame++)
        {
            _states[frame] = FrameState.OnDisk;
        }

        Assert.Equal(Layout.Frame(3).End, _states.EndOfRun(1, FrameState.OnDisk, Layout.Size));
        Assert.Equal(Layout.Frame(2).End, _states.EndOfRun(1, FrameState.OnDisk, Layout.Frame(2).Offset + 1));
    }
}
