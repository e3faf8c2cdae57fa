using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>Ranges of bytes that are not here yet.</summary>
public sealed class WaitingRangeTests : IDisposable
{
    private const int FrameSize = 64 * 1024;

    private readonly RangeSetup _setup = new();
    private readonly SampleContent _sample = TestMesh.NewSample(4 * FrameSize);

    public void Dispose() => _setup.Dispose();

    [Fact]
    public async Task Wait_ContentIsNotKnownYet_BytesComeOnceItIs()
    {
        _setup.Incoming.Downloads = true;
        var stream = _setup.Ask(Range(wait: true));
        Assert.True((await stream.NextAsync()).IsWaiting);

        using var lease = _sample.OpenIn(_setup.Cache);
        _setup.Incoming.Opened();

        Assert.Equal(_sample.Bytes.Length, (await stream.NextAsync()).Answer.Control?.Head.Size);
        ShouldTellWaiting(await stream.NextAsync());
        for (var frame = 0; frame < 4; frame++)
        {
            _sample.WriteFrame(lease.Content, frame);
            ShouldBeFrame(frame, await stream.NextAsync());
            if (frame < 3)
            {
                ShouldTellWaiting(await stream.NextAsync());
            }
        }

        Assert.Equal(RangeStatus.Complete, (await stream.NextAsync()).End?.Status);
    }

    [Fact]
    public async Task Wait_ContentComesAndIsCompleteAtOnce_IsServed()
    {
        _setup.Incoming.Downloads = true;
        var stream = _setup.Ask(Range(wait: true));
        Assert.True((await stream.NextAsync()).IsWaiting);

        // The download is over before the server looks again.
        _sample.WriteAll(_setup.Cache);
        _setup.Incoming.Downloads = false;
        _setup.Incoming.Opened();

        Assert.Equal(RangeStatus.Complete, (await stream.EndAsync()).Status);
    }

    [Fact]
    public async Task Wait_ContentWasOpenedAndRemoved_LooksAgainAfterAWhileOnly()
    {
        _setup.Incoming.Downloads = true;
        _setup.Incoming.Opened();
        var stream = _setup.Ask(Range(wait: true));
        Assert.True((await stream.NextAsync()).IsWaiting);
        await _setup.Time.PassAsync(RangeServer.IncomingCheck);
        await _setup.Time.ArmedAsync(RangeServer.IncomingCheck);
        stream.ShouldBeSilent();

        _sample.WriteAll(_setup.Cache);
        _setup.Time.Advance(RangeServer.IncomingCheck);

        Assert.Equal(RangeStatus.Complete, (await stream.EndAsync()).Status);
    }

    [Fact]
    public async Task Wait_BytesDoNotCome_IsToldAtTheBeginningAndThenEverySecond()
    {
        _setup.Incoming.Downloads = true;
        using var lease = _sample.OpenIn(_setup.Cache);
        var stream = _setup.Ask(Range(wait: true));
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        var begin = _setup.Time.GetUtcNow();

        for (var second = 0; second < 3; second++)
        {
            var told = await stream.NextAsync();
            ShouldTellWaiting(told);
            Assert.Equal(TimeSpan.FromSeconds(second), told.At - begin);
            for (var i = 0; i < 4; i++)
            {
                stream.ShouldBeSilent();
                await _setup.Time.PassAsync(RangeServer.IncomingCheck);
            }
        }

        // A frame ends the waiting: the next one is told at once again.
        ShouldTellWaiting(await stream.NextAsync());
        _sample.WriteFrame(lease.Content, 0);
        ShouldBeFrame(0, await stream.NextAsync());
        ShouldTellWaiting(await stream.NextAsync());
    }

    [Fact]
    public async Task Wait_BytesAreHere_NothingIsSaidOfWaiting()
    {
        _setup.Incoming.Downloads = true;
        _sample.WriteAll(_setup.Cache);
        var stream = _setup.Ask(Range(wait: true));

        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        for (var frame = 0; frame < 4; frame++)
        {
            ShouldBeFrame(frame, await stream.NextAsync());
        }

        Assert.Equal(RangeStatus.Complete, (await stream.NextAsync()).End?.Status);
    }

    [Fact]
    public async Task Wait_PieceComesFromTheReaderOnly_IsNotHeld()
    {
        _setup.Incoming.Downloads = true;
        _setup.Incoming.Arrival = (_, reader) => reader == "reader" ? PieceArrival.FromReader : PieceArrival.Coming;
        using var lease = _sample.OpenIn(_setup.Cache);
        _sample.WriteFrame(lease.Content, 0);

        var stream = _setup.Ask(Range(wait: true));
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        ShouldBeFrame(0, await stream.NextAsync());
        Assert.Equal(RangeStatus.NotHeld, (await stream.NextAsync()).End?.Status);

        // Anybody else may wait for the same piece.
        var other = _setup.Ask(Range(wait: true), reader: "third");
        Assert.NotNull((await other.NextAsync()).Answer.Control?.Head);
        ShouldBeFrame(0, await other.NextAsync());
        Assert.True((await other.NextAsync()).IsWaiting);
    }

    [Fact]
    public async Task Wait_PieceIsAskedFromTheReaderMeanwhile_EndsAsNotHeld()
    {
        _setup.Incoming.Downloads = true;
        using var lease = _sample.OpenIn(_setup.Cache);
        var stream = _setup.Ask(Range(wait: true));
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        Assert.True((await stream.NextAsync()).IsWaiting);

        _setup.Incoming.Arrival = (_, _) => PieceArrival.FromReader;
        await _setup.Time.PassAsync(RangeServer.IncomingCheck);

        var end = await stream.EndAsync();
        Assert.Equal(RangeStatus.NotHeld, end.Status);
        Assert.Equal(["other"], end.Holders);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Wait_DownloadEndsWithoutTheBytes_EndsAsNotHeld(bool isKnown)
    {
        _setup.Incoming.Downloads = true;
        using var lease = isKnown ? _sample.OpenIn(_setup.Cache) : null;
        var stream = _setup.Ask(Range(wait: true));
        Assert.Equal(!isKnown, (await stream.NextAsync()).IsWaiting);

        _setup.Incoming.Downloads = false;
        await _setup.Time.PassAsync(RangeServer.IncomingCheck);

        Assert.Equal(RangeStatus.NotHeld, (await stream.EndAsync()).Status);
    }

    [Fact]
    public async Task Wait_ContentIsRemoved_EndsAsNotHeld()
    {
        _setup.Incoming.Downloads = true;
        using var lease = _sample.OpenIn(_setup.Cache);
        var stream = _setup.Ask(Range(wait: true));
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        Assert.True((await stream.NextAsync()).IsWaiting);

        _setup.Cache.Remove(_sample.Digest);

        Assert.Equal(RangeStatus.NotHeld, (await stream.EndAsync()).Status);
    }

    [Fact]
    public async Task Wait_NoDownload_IsNotHeldAtOnce()
    {
        var stream = _setup.Ask(Range(wait: true));
        Assert.Equal(RangeStatus.NotHeld, (await stream.NextAsync()).End?.Status);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Wait_DeadlinePasses_EndsAsDeadlineExceeded(bool isKnown)
    {
        _setup.Incoming.Downloads = true;
        using var lease = isKnown ? _sample.OpenIn(_setup.Cache) : null;
        var stream = _setup.Ask(Range(wait: true, deadlineMs: 5000));
        await _setup.Time.ArmedAsync(TimeSpan.FromSeconds(5));

        _setup.Time.Advance(TimeSpan.FromSeconds(5));

        Assert.Equal(RangeStatus.DeadlineExceeded, (await stream.EndAsync()).Status);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Wait_Cancelled_EndsAsCancelledAndTheStreamGoesOn(bool isKnown)
    {
        _setup.Incoming.Downloads = true;
        using var lease = isKnown ? _sample.OpenIn(_setup.Cache) : null;
        var stream = _setup.Ask(Range(wait: true));
        Assert.Equal(!isKnown, (await stream.NextAsync()).IsWaiting);

        stream.Send(new FetchRangeRequest { Cancel = new CancelRange { Id = 1 } });

        Assert.Equal(RangeStatus.Cancelled, (await stream.EndAsync()).Status);
        _sample.WriteAll(_setup.Cache);
        stream.Send(new FetchRangeRequest { Range = Range(wait: true) });
        Assert.Equal(RangeStatus.Complete, (await stream.EndAsync()).Status);
    }

    [Theory]
    [InlineData(1, 0)]
    [InlineData(0, 1)]
    [InlineData(5 * FrameSize, 0)]
    [InlineData(0, FrameSize + 1)]
    public async Task Wait_RangeTurnsOutMalformed_IsInvalid(long offset, long length)
    {
        _setup.Incoming.Downloads = true;
        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Offset = offset, Length = length, Wait = true });
        Assert.True((await stream.NextAsync()).IsWaiting);

        using var lease = _sample.OpenIn(_setup.Cache);
        _setup.Incoming.Opened();

        Assert.Equal(RangeStatus.Invalid, (await stream.NextAsync()).End?.Status);
    }

    [Fact]
    public async Task NoWait_PieceIsComing_IsWaitedForAndTold()
    {
        _setup.Incoming.Arrival = (_, _) => PieceArrival.Coming;
        using var lease = _sample.OpenIn(_setup.Cache);
        _sample.WriteFrame(lease.Content, 0);
        var stream = _setup.Ask(Range(wait: false, length: 2 * FrameSize));
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        ShouldBeFrame(0, await stream.NextAsync());
        ShouldTellWaiting(await stream.NextAsync());

        _sample.WriteFrame(lease.Content, 1);

        ShouldBeFrame(1, await stream.NextAsync());
        Assert.Equal(RangeStatus.Complete, (await stream.NextAsync()).End?.Status);
    }

    [Fact]
    public async Task NoWait_PieceIsOnlyExpected_IsNotHeldAtOnce()
    {
        _setup.Incoming.Downloads = true;
        using var lease = _sample.OpenIn(_setup.Cache);
        var empty = _setup.Ask(Range(wait: false));
        Assert.Equal(RangeStatus.NotHeld, (await empty.NextAsync()).End?.Status);

        _sample.WriteFrame(lease.Content, 0);
        var partly = _setup.Ask(Range(wait: false));
        Assert.NotNull((await partly.NextAsync()).Answer.Control?.Head);
        ShouldBeFrame(0, await partly.NextAsync());
        Assert.Equal(RangeStatus.NotHeld, (await partly.NextAsync()).End?.Status);
    }

    private FetchRange Range(bool wait, long length = 0, uint deadlineMs = 0) =>
        new() { Id = 1, Digest = _sample.Digest.ToString(), Length = length, DeadlineMs = deadlineMs, Wait = wait };

    private void ShouldBeFrame(int frame, Written written)
    {
        Assert.Null(written.Answer.Control);
        Assert.Equal(
            (_sample.Layout.Frame(frame).Offset, (int)_sample.Layout.Frame(frame).Length, FrameChecksum.Compute(_sample.Frame(frame))),
            (written.Answer.Offset, written.Answer.Length, written.Answer.Checksum));
    }

    /// <summary>The reader gets the word, and whatever was held back before it, at once.</summary>
    private static void ShouldTellWaiting(Written written)
    {
        Assert.True(written.IsWaiting, $"{written.Answer.Control} instead of 'waiting'");
        Assert.True(written.IsFlushed);
    }
}
