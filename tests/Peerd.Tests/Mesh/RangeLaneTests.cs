using Peerd.Contracts;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

public sealed class RangeLaneTests
{
    private const uint Id = 7;
    private static readonly ContentLayout Layout = new(3 * 64 * 1024);

    [Fact]
    public void Receive_FramesInOrder_GoToTheSink()
    {
        var (lane, sink) = Begin();
        Receive(lane, 1);
        Receive(lane, 2);
        Assert.Null(lane.Error);
        Assert.Equal([1, 2], sink.Frames);
        Assert.Equal(Layout.Size, lane.Expected);
    }

    [Fact]
    public void Receive_FrameOfAnotherRange_IsAnError()
    {
        var (lane, sink) = Begin();
        Receive(lane, 1, id: Id + 1);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_FrameNotAskedFor_IsAnError()
    {
        var (lane, sink) = Begin();
        Receive(lane, 0);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_MoreThanTheRange_IsAnError()
    {
        var (lane, sink) = Begin(ByteRange.FromBounds(0, Layout.FrameSize));
        Receive(lane, 0);
        Receive(lane, 1);
        Assert.NotNull(lane.Error);
        Assert.Equal([0], sink.Frames);
    }

    [Fact]
    public void Receive_ShortFrame_IsAnError()
    {
        var (lane, sink) = Begin();
        var data = new byte[100];
        lane.Receive(Id, Layout.FrameSize, data, FrameChecksum.Compute(data));
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_WrongChecksum_NothingMoreGoesToTheSink()
    {
        var (lane, sink) = Begin();
        lane.Receive(Id, Layout.FrameSize, new byte[Layout.FrameSize], checksum: 1);
        Receive(lane, 1);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_AfterTheEnd_IsAnError()
    {
        var (lane, sink) = Begin();
        lane.End();
        Receive(lane, 1);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void ThrowIfFailed_SinkThrew_ThrowsTheSame()
    {
        var lane = new RangeLane();
        lane.Begin(Id, Layout, ByteRange.FromBounds(0, Layout.Size), new Sink { Failure = new NotSupportedException() });
        Receive(lane, 0);
        Assert.Throws<NotSupportedException>(lane.ThrowIfFailed);
    }

    private static (RangeLane Lane, Sink Sink) Begin(ByteRange? range = null)
    {
        var (lane, sink) = (new RangeLane(), new Sink());
        lane.Begin(Id, Layout, range ?? ByteRange.FromBounds(Layout.FrameSize, Layout.Size), sink);
        return (lane, sink);
    }

    private static void Receive(RangeLane lane, int frame, uint id = Id)
    {
        var data = new byte[Layout.Frame(frame).Length];
        lane.Receive(id, Layout.Frame(frame).Offset, data, FrameChecksum.Compute(data));
    }

    private sealed class Sink : IRangeSink
    {
        public List<int> Frames { get; } = [];

        public Exception? Failure { get; init; }

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            if (Failure is not null)
            {
                throw Failure;
            }

            Frames.Add(frame);
            return true;
        }

        public void Waiting()
        {
        }
    }
}
