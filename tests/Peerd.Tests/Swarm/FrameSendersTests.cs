using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class FrameSendersTests
{
    private readonly FrameSenders _senders = new();

    public FrameSendersTests() => _senders.Begin(frameCount: 2);

    [Fact]
    public void OnlyOne_AllFromOnePeer_ThatPeer()
    {
        _senders.Sent("a");
        _senders.Mark(0, ByteSource.Peer);
        Assert.Null(_senders.OnlyOne(2));

        _senders.Mark(1, ByteSource.Peer);
        Assert.Equal("a", _senders.OnlyOne(2));

        _senders.Sent("b");
        Assert.Null(_senders.OnlyOne(2));
    }

    [Fact]
    public void OnlyOne_SomeFromTheOrigin_Nobody()
    {
        _senders.Sent("a");
        _senders.Mark(0, ByteSource.Peer);
        _senders.Mark(1, ByteSource.Origin);

        Assert.Null(_senders.OnlyOne(2));
    }

    [Fact]
    public void Forget_PeersThatSent_OnlyThoseThatSendAfterwards()
    {
        _senders.Sent("a");
        _senders.Forget();
        _senders.Sent("b");
        _senders.Mark(0, ByteSource.Peer);
        _senders.Mark(1, ByteSource.Peer);

        Assert.Equal("b", _senders.OnlyOne(2));
    }

    // What a peer sent first counts: it was cut off with that.
    [Fact]
    public void RefusedThoughRight_SomeWereRight_OnlyThose()
    {
        _senders.Refused("right", 1, 11);
        _senders.Refused("right", 0, 99);
        _senders.Refused("wrong", 1, 12);

        Assert.Equal(["right"], _senders.RefusedThoughRight([10, 11]));
    }

    [Fact]
    public void SourceOf_BeforeTheSizeIsKnown_None() => Assert.Equal(ByteSource.None, new FrameSenders().SourceOf(7));
}
