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
        _time.Advance(Timeout - TimeSpan.FromMilliseconds(1));
        Assert.False(_silence.Ended.IsCancellationRequested);

        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void OnlyPingsCome_EndsAfterTheTimeout()
    {
        _received += 100;

        _time.Advance(Timeout);

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void BytesCome_GoesOnUntilEachRangeCouldHaveHadItsFrame()
    {
        for (var received = 0; received < 2 * FrameSize * Ranges; received += FrameSize / 2)
        {
            Assert.False(_silence.Ended.IsCancellationRequested);
            _received += FrameSize / 2;
            _time.Advance(Timeout);
        }

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void BytesStop_EndsAtTheNextLook()
    {
        _received += FrameSize / 2;
        _time.Advance(Timeout);
        Assert.False(_silence.Ended.IsCancellationRequested);

        _time.Advance(Timeout);

        Assert.True(_silence.Ended.IsCancellationRequested);
    }

    [Fact]
    public void Heard_BeginsAnew()
    {
        _received += 2 * FrameSize * Ranges;
        _time.Advance(Timeout / 2);
        _silence.Heard();
        _time.Advance(Timeout - TimeSpan.FromMilliseconds(1));
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
}
