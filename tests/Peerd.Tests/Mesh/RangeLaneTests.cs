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
        lane.Receive(Id, Layout.FrameSize, data, FrameChecksum.Compute(data), []);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_WrongChecksum_NothingMoreGoesToTheSink()
    {
        var (lane, sink) = Begin();
        lane.Receive(Id, Layout.FrameSize, new byte[Layout.FrameSize], checksum: 1, []);
        Receive(lane, 1);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_ManyFramesInOneMessage_GoToTheSinkOneByOne()
    {
        var (lane, sink) = BeginLong(frames: 7);
        ReceiveLong(lane, frame: 1, frames: 4);
        ReceiveLong(lane, frame: 5, frames: 2);
        Assert.Null(lane.Error);
        Assert.Equal([1, 2, 3, 4, 5, 6], sink.Frames);
        Assert.Equal(Long.Frame(6).End, lane.Expected);
    }

    [Fact]
    public void Receive_OneOfManyFramesDoesNotMatch_TheSinkGetsThoseBefore()
    {
        var (lane, sink) = BeginLong(frames: 7);
        ReceiveLong(lane, frame: 1, frames: 4, wrong: 2);
        ReceiveLong(lane, frame: 3, frames: 2);
        Assert.NotNull(lane.Error);
        Assert.False(lane.IsContradicted);
        Assert.Equal([1, 2], sink.Frames);
    }

    [Theory]
    [InlineData(5, 0)] // more than one message may have
    [InlineData(4, 100)]
    [InlineData(4, -100)]
    [InlineData(3, 64 * 1024)]
    [InlineData(4, -64 * 1024)]
    public void Receive_OtherBytesThanTheFramesHave_IsAnError(int frames, int more)
    {
        var (lane, sink) = BeginLong(frames: 7);
        var data = new byte[(frames * Long.FrameSize) + more];
        lane.Receive(Id, Long.FrameSize, data, Zeroes, Enumerable.Repeat(Zeroes, frames - 1).ToArray());
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);
    }

    [Fact]
    public void Receive_ManyFramesBeyondTheRange_IsAnError()
    {
        var (lane, sink) = BeginLong(frames: 3);
        ReceiveLong(lane, frame: 1, frames: 4);
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
    public void Begin_AFrameCameBefore_IsAnErrorOfTheRange()
    {
        var (lane, sink) = Begin();
        lane.End();
        Receive(lane, 1);
        lane.Begin(Id, Layout, ByteRange.FromBounds(Layout.FrameSize, Layout.Size), sink);
        Receive(lane, 1);
        Assert.NotNull(lane.Error);
        Assert.Empty(sink.Frames);

        // Of that one only.
        lane.End();
        lane.Begin(Id, Layout, ByteRange.FromBounds(Layout.FrameSize, Layout.Size), sink);
        Receive(lane, 1);
        Assert.Null(lane.Error);
        Assert.Equal([1], sink.Frames);
    }

    [Fact]
    public void ThrowIfFailed_SinkThrew_ThrowsTheSame()
    {
        var lane = new RangeLane();
        lane.Begin(Id, Layout, ByteRange.FromBounds(0, Layout.Size), new Sink { Failure = new NotSupportedException() });
        Receive(lane, 0);
        Assert.Throws<NotSupportedException>(lane.ThrowIfFailed);
    }

    // Of 1 GiB, in whose messages there are up to four frames.
    private static ContentLayout Long => new(1L << 30);

    private static ulong Zeroes { get; } = FrameChecksum.Compute(new byte[64 * 1024]);

    private static (RangeLane Lane, Sink Sink) BeginLong(int frames)
    {
        var (lane, sink) = (new RangeLane(), new Sink());
        lane.Begin(Id, Long, ByteRange.FromBounds(Long.FrameSize, Long.Frame(frames - 1).End), sink);
        return (lane, sink);
    }

    private static void ReceiveLong(RangeLane lane, int frame, int frames, int? wrong = null)
    {
        ulong[] checksums = [.. Enumerable.Range(0, frames).Select(i => i == wrong ? Zeroes + 1 : Zeroes)];
        lane.Receive(Id, Long.Frame(frame).Offset, new byte[frames * Long.FrameSize], checksums[0], checksums.AsSpan(1));
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
        lane.Receive(id, Layout.Frame(frame).Offset, data, FrameChecksum.Compute(data), []);
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

        public void Told(string mediaType)
        {
        }

        public void Waiting()
        {
        }
    }
}
