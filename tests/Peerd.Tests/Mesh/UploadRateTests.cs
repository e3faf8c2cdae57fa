using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>Ranges that are served where the upload is limited to one frame a second.</summary>
public sealed class UploadRateTests : IDisposable
{
    private const int Frame = 64 * 1024;

    private readonly RangeSetup _setup = new(limits: new LimitOptions { Upload = $"{Frame}" });
    private readonly SampleContent _sample = TestMesh.NewSample(3 * Frame);

    public UploadRateTests() => _sample.WriteAll(_setup.Cache);

    public void Dispose() => _setup.Dispose();

    [Fact]
    public async Task Range_MoreThanMayBeSent_WaitsSaysSoAndGoesOnWithTime()
    {
        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString() });
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        Assert.Equal(Frame, (await stream.NextAsync()).Answer.Length);
        Assert.True((await stream.NextAsync()).IsWaiting);

        for (var frame = 1; frame < 3; frame++)
        {
            await PassAsync();
            Assert.Equal(Frame, (await NextButWaitingAsync(stream)).Answer.Length);
        }

        Assert.Equal(RangeStatus.Complete, (await stream.EndAsync()).Status);
    }

    [Fact]
    public async Task Ranges_OneIsStreamed_ItsFrameGoesBeforeThatOfAPullWhichWaitsLonger()
    {
        var pull = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString() });
        await UntilWaitingAsync(pull);
        var streaming = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Length = Frame, Urgent = true });
        await UntilWaitingAsync(streaming);

        await PassAsync();

        Assert.Equal(RangeStatus.Complete, (await streaming.EndAsync()).Status);
        while (pull.TryNext() is { } next)
        {
            Assert.True(next.IsWaiting, "the pull was served first");
        }
    }

    [Fact]
    public async Task Ranges_OneIsFetchedAhead_AllFramesOfAPullGoBeforeItsNext()
    {
        var ahead = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Ahead = true });
        await UntilWaitingAsync(ahead);
        var pull = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString() });
        await UntilWaitingAsync(pull);

        for (var frame = 0; frame < 3; frame++)
        {
            await PassAsync();
            Assert.Equal(Frame, (await NextButWaitingAsync(pull)).Answer.Length);
            if (frame < 2)
            {
                await UntilWaitingAsync(pull);
            }
        }

        Assert.Equal(RangeStatus.Complete, (await pull.EndAsync()).Status);
        while (ahead.TryNext() is { } next)
        {
            Assert.True(next.IsWaiting, "what nobody waits for was served before the pull had all");
        }
    }

    [Fact]
    public async Task Range_CancelledWhileItWaits_EndsAtOnce()
    {
        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString() });
        await UntilWaitingAsync(stream);

        stream.Send(new FetchRangeRequest { Cancel = new CancelRange { Id = 1 } });

        Assert.Equal(RangeStatus.Cancelled, (await stream.EndAsync()).Status);
    }

    // The reader has what came so far, asks elsewhere or again, and blames nobody.
    [Fact]
    public async Task Range_OthersAlwaysGoFirst_IsBusyInTheEnd()
    {
        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Ahead = true });
        await UntilWaitingAsync(stream);
        for (var second = 0; second < 40; second++)
        {
            await UntilWaitingAsync(_setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Length = Frame, Urgent = true }));
            await PassAsync();
        }

        Assert.Equal(RangeStatus.Busy, (await stream.EndAsync()).Status);
    }

    // Of what was taken for a frame that is not here after all, others may send at once.
    [Fact]
    public async Task Range_FrameOnDiskHasChanged_TakesNothingOfTheRate()
    {
        var folder = new CacheFolder();
        var changed = TestMesh.NewSample(Frame);
        using (var cache = folder.Open())
        {
            changed.WriteAll(cache);
        }

        using (var file = File.OpenWrite(Assert.Single(folder.Files("*.data"))))
        {
            file.WriteByte((byte)~changed.Bytes[0]);
        }

        using var setup = new RangeSetup(limits: new LimitOptions { Upload = $"{Frame}" }, folder: folder);
        var end = await setup.Ask(new FetchRange { Id = 1, Digest = changed.Digest.ToString() }).EndAsync();
        Assert.Equal(RangeStatus.NotHeld, end.Status);
        _sample.WriteAll(setup.Cache);

        var stream = setup.Ask(new FetchRange { Id = 1, Digest = _sample.Digest.ToString(), Length = Frame });
        Assert.NotNull((await stream.NextAsync()).Answer.Control?.Head);
        Assert.Equal(Frame, (await stream.NextAsync()).Answer.Length);
    }

    private async Task PassAsync()
    {
        // The server looks every quarter of a second whether it must say that it waits.
        for (var step = 0; step < 10; step++)
        {
            _setup.Time.Advance(TimeSpan.FromMilliseconds(100));
            await Task.Yield();
        }
    }

    private static async Task UntilWaitingAsync(ServedStream stream)
    {
        while (!(await stream.NextAsync()).IsWaiting)
        {
        }
    }

    private static async Task<Written> NextButWaitingAsync(ServedStream stream)
    {
        var next = await stream.NextAsync();
        while (next.IsWaiting)
        {
            next = await stream.NextAsync();
        }

        return next;
    }
}
