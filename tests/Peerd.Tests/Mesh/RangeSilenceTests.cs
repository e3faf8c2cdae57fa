using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

/// <summary>Four ranges with frames of 256 KiB are read from one peer; one of them is looked at.</summary>
public sealed class RangeSilenceTests : IDisposable
{
    private const int FrameSize = 256 * 1024;
    private const int Ranges = 4;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    private readonly FakeTimeProvider _time = new();
    private readonly RangeSilence _silence;
    private long _received = 1000;

    public RangeSilenceTests()
    {
        var load = new PeerLoad(() => _received);
        for (var i = 0; i < Ranges; i++)
        {
            load.Began();
        }

        _silence = new RangeSilence(Timeout, load, FrameSize, _time);
    }

    public void Dispose() => _silence.Dispose();

    [Fact]
    public void NothingComes_EndsAfterTheTimeout()
    {
        _time.Advance(Timeout / 4);
        _time.Advance((3 * Timeout / 4) - TimeSpan.FromMilliseconds(1));
        Assert.False(_silence.Ended.IsCancellationRequested);

        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    // Nor does a machine that has no time blame the peer for that.
    [Fact]
    public void BytesComeAndTheFirstLookIsLate_GoesOn()
    {
        _received += FrameSize;
        _time.Advance(2 * Timeout);
        Assert.False(_silence.Ended.IsCancellationRequested);

        _received += FrameSize / 2;
        _time.Advance(Timeout / 4);
        Assert.False(_silence.Ended.IsCancellationRequested);

        _time.Advance(Timeout);

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void OnlyPingsCome_EndsAfterTheTimeout()
    {
        Look();
        Come(100);

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void BytesCome_GoesOnUntilEachRangeCouldHaveHadItsFrame()
    {
        // From the first look on.
        Look();
        for (var received = 0; received < 4 * FrameSize * Ranges; received += FrameSize / 2)
        {
            Assert.False(_silence.Ended.IsCancellationRequested);
            Come(FrameSize / 2);
        }

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void BytesStop_EndsAtTheNextLook()
    {
        Look();
        Come(FrameSize / 2);
        Assert.False(_silence.Ended.IsCancellationRequested);

        Come(0);

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void Heard_BeginsAnew()
    {
        Look();
        Come(FrameSize / 2);
        _silence.Heard();
        _time.Advance(Timeout / 4);
        _time.Advance((3 * Timeout / 4) - TimeSpan.FromMilliseconds(1));
        Assert.False(_silence.Ended.IsCancellationRequested);

        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void Pause_NothingIsExpected()
    {
        _silence.Pause();

        _time.Advance(10 * Timeout);

        Assert.False(_silence.Ended.IsCancellationRequested);
    }

    // The first.
    private void Look() => _time.Advance(Timeout / 4);

    // So much until the next look.
    private void Come(int bytes)
    {
        _received += bytes;
        _time.Advance(Timeout);
    }
}
