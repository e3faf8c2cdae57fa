using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Storage;
using Peerd.Node.Storage.Containerd;
using Peerd.Node.Telemetry;

namespace Peerd.Tests.Storage.Containerd;

public sealed class ContainerdWatcherTests : IAsyncDisposable
{
    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(30);

    private readonly CacheFolder _folder = new();
    private readonly FakeContainerd _containerd = new();
    private readonly PieceCache _cache;
    private readonly ContainerdWatcher _watcher;
    private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public ContainerdWatcherTests()
    {
        _cache = _folder.Open();
        _watcher = NewWatcher(TimeProvider.System);
    }

    [Fact]
    public async Task Watch_StartsLateTellsEventsAndRestarts_CacheFollows()
    {
        var (first, second, third) = (new SampleContent(1, 100_000), new SampleContent(2, 50_000), new SampleContent(3, 1000));
        _containerd.Add(first);
        await _watcher.StartAsync(TestContext.Current.CancellationToken);
        await _containerd.StartAsync();
        await UntilAsync(() => first.TryReadAll(_cache), "the first content is there");

        _containerd.Add(second);
        _containerd.Tell("/images/create");
        await UntilAsync(() => second.TryReadAll(_cache), "the second content is there");

        // As by garbage collection: the files go later than the event.
        _containerd.Tell("/images/delete");
        await Task.Delay(1000, TestContext.Current.CancellationToken);
        File.Delete(_containerd.PathOf(first.Digest));
        await UntilAsync(() => !_cache.Digests.Contains(first.Digest), "the first content is withdrawn");

        await _containerd.StopAsync();
        Assert.True(second.TryReadAll(_cache));
        _containerd.Add(third);
        await _containerd.StartAsync();
        await UntilAsync(() => third.TryReadAll(_cache), "the third content is there");
        Assert.True(second.TryReadAll(_cache));
    }

    [Fact]
    public async Task Watch_NoEventTells_TheNextListingDoes()
    {
        var (time, known) = (new FakeTimeProvider(TimeProvider.System.GetUtcNow()), new SampleContent(1, 100));
        using var watcher = NewWatcher(time);
        _containerd.Add(known);
        await _containerd.StartAsync();
        await watcher.StartAsync(TestContext.Current.CancellationToken);
        await UntilAsync(() => _cache.Digests.Contains(known.Digest), "the first listing");
        var late = new SampleContent(2, 100);
        _containerd.Add(late);

        await UntilAsync(
            () =>
            {
                time.Advance(TimeSpan.FromMinutes(1));
                return _cache.Digests.Contains(late.Digest);
            },
            "the listing after an hour");

        Assert.InRange(time.GetUtcNow() - time.Start, TimeSpan.FromHours(1), TimeSpan.MaxValue);
        await watcher.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Watch_ContainerdStaysAway_KnocksLessAndLessOftenAndOnceAMinuteInTheEnd()
    {
        var time = new ArmedTime();
        time.SetUtcNow(TimeProvider.System.GetUtcNow());
        using var watcher = NewWatcher(time);
        await watcher.StartAsync(TestContext.Current.CancellationToken);

        foreach (var seconds in new[] { 0.5, 1, 2, 4, 8, 16, 32, 60, 60 })
        {
            // What was served is looked for each second.
            var pause = await time.ArmedAsync(due => due > TimeSpan.Zero && due != TimeSpan.FromSeconds(1));
            Assert.InRange(pause, TimeSpan.FromSeconds(0.75 * seconds), TimeSpan.FromSeconds(1.25 * seconds));
            time.Advance(pause);
        }

        await watcher.StopAsync(CancellationToken.None);
    }

    [Fact]
    public async Task Watch_ManifestWhoseTypeIsNoText_OthersAreKnown()
    {
        _containerd.Add(new SampleContent("{\"schemaVersion\":2,\"mediaType\":\"\\ud800\",\"manifests\":[]}"u8.ToArray()));
        var others = Enumerable.Range(0, 20).Select(i => new SampleContent(i, 100)).ToList();
        others.ForEach(_containerd.Add);
        await _containerd.StartAsync();
        await _watcher.StartAsync(TestContext.Current.CancellationToken);

        await UntilAsync(() => _cache.Digests.Count == 21, "all contents are known");
    }

    [Fact]
    public async Task Watch_FiveThousandBlobs_AreAllKnown()
    {
        for (var i = 0; i < 5000; i++)
        {
            _containerd.Add(new SampleContent(i, 100));
        }

        await _containerd.StartAsync();
        await _watcher.StartAsync(TestContext.Current.CancellationToken);

        await UntilAsync(() => _cache.Digests.Count == 5000, "all contents are known");
    }

    [Fact]
    public async Task Watch_BitRotInServedFile_IsWithdrawnAndStaysSo()
    {
        using var failures = new MetricCollector<long>(_meters.GetRequiredService<IMeterFactory>(), "Peerd", IntegrityFailures.Name);
        var sample = new SampleContent(4, 300_000);
        _containerd.Add(sample);
        var bytes = sample.Bytes.ToArray();
        bytes[200_000] ^= 1;
        await File.WriteAllBytesAsync(_containerd.PathOf(sample.Digest), bytes, TestContext.Current.CancellationToken);
        await _containerd.StartAsync();
        await _watcher.StartAsync(TestContext.Current.CancellationToken);
        await UntilAsync(() => _cache.Digests.Contains(sample.Digest), "the content is known");

        Assert.True(_cache.TryPeek(sample.Digest, out var content));
        _ = content.ChecksumOf(0);
        await UntilAsync(() => !_cache.Digests.Contains(sample.Digest), "the content is withdrawn");
        await failures.WaitForMeasurementsAsync(1, Hang);
        Assert.Equal((1, "containerd"), (failures.LastMeasurement!.Value, failures.LastMeasurement.Tags["source"]));

        var next = new SampleContent(5, 10);
        _containerd.Add(next);
        _containerd.Tell("/content/create");
        await UntilAsync(() => _cache.Digests.Contains(next.Digest), "the store was listed again");
        Assert.DoesNotContain(sample.Digest, _cache.Digests);
    }

    public async ValueTask DisposeAsync()
    {
        await _watcher.StopAsync(CancellationToken.None);
        _watcher.Dispose();
        await _meters.DisposeAsync();
        await _containerd.DisposeAsync();
        _cache.Dispose();
        _folder.Dispose();
    }

    private ContainerdWatcher NewWatcher(TimeProvider time) => new(
        _cache,
        Options.Create(new ContainerdOptions { Socket = _containerd.Socket, Resync = "1h" }),
        time,
        NullLogger<ContainerdWatcher>.Instance,
        new IntegrityFailures(_meters.GetRequiredService<IMeterFactory>()));

    private static async Task UntilAsync(Func<bool> isTrue, string step)
    {
        using var timeout = new CancellationTokenSource(Hang);
        while (!isTrue())
        {
            Assert.False(timeout.IsCancellationRequested, $"never came: {step}");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }
}
