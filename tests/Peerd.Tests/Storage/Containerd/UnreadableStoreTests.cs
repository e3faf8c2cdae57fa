using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;
using Peerd.Node.Storage.Containerd;
using Peerd.Node.Telemetry;
using Peerd.Tests.Mesh;

namespace Peerd.Tests.Storage.Containerd;

/// <summary>containerd's files cannot be read: it is asked for their bytes.</summary>
public sealed class UnreadableStoreTests : IAsyncDisposable
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(30);

    private readonly RangeSetup _setup = new();
    private readonly FakeContainerd _containerd = new() { HidesFiles = true };
    private readonly ContainerdWatcher _watcher;
    private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();

    public UnreadableStoreTests()
    {
        var options = new ContainerdOptions { Socket = _containerd.Socket, Resync = "1h" };
        _watcher = new ContainerdWatcher(_setup.Cache, Options.Create(options), TimeProvider.System, NullLogger<ContainerdWatcher>.Instance, new IntegrityFailures(_meters.GetRequiredService<IMeterFactory>()));
    }

    private PieceCache Cache => _setup.Cache;

    [Fact]
    public async Task Read_Prepared_BytesAreRightAndEachPartIsAskedForOnce()
    {
        var sample = await StartAsync(new SampleContent(1, (3 * MiB) + 17));
        Assert.True(Cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            Assert.True(lease.Content.IsVerified);
            Assert.False(sample.TryRead(lease.Content, new ByteRange(0, 10)));

            await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => lease.Content.PrepareAsync(MiB - 5, MiB, TestContext.Current.CancellationToken).AsTask()));
            Assert.True(sample.TryRead(lease.Content, new ByteRange(MiB - 5, MiB)));
            Assert.Equal(2, _containerd.Reads);

            await lease.Content.PrepareAsync(0, lease.Content.Size, TestContext.Current.CancellationToken);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, lease.Content.Size)));
            Assert.Equal(4, _containerd.Reads);
        }

        Assert.Equal(0, Cache.UsedBytes);
        Assert.Contains(sample.Digest, Cache.Digests);
    }

    [Fact]
    public async Task Ask_PeerWantsAll_ReceivesRightFrames()
    {
        var sample = await StartAsync(new SampleContent(2, (2 * MiB) + 17));

        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = sample.Digest.ToString() });

        var frames = 0;
        while (await stream.NextAsync() is { } written)
        {
            if (written.End is { } end)
            {
                Assert.Equal(RangeStatus.Complete, end.Status);
                break;
            }

            frames += written.Answer.Control is null ? 1 : 0;
            if (written.Answer.Control is null)
            {
                Assert.Equal(FrameChecksum.Compute(sample.Frame(sample.Layout.FrameAt(written.Answer.Offset))), written.Answer.Checksum);
            }
        }

        Assert.Equal(sample.Layout.FrameCount, frames);
    }

    [Fact]
    public async Task Prepare_DeletedInContainerd_IsWithdrawnAtOnce()
    {
        var sample = await StartAsync(new SampleContent(3, MiB));
        File.Delete(_containerd.PathOf(sample.Digest));

        Assert.True(Cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            await lease.Content.PrepareAsync(0, 100, TestContext.Current.CancellationToken);
            Assert.False(sample.TryRead(lease.Content, new ByteRange(0, 100)));
        }

        Assert.DoesNotContain(sample.Digest, Cache.Digests);
    }

    [Fact]
    public async Task Prepare_ContainerdIsStartedAnew_IsKeptMeanwhile()
    {
        var sample = await StartAsync(new SampleContent(5, MiB));
        await _containerd.StopAsync();
        Assert.True(Cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            await lease.Content.PrepareAsync(0, 100, TestContext.Current.CancellationToken);
            Assert.False(sample.TryRead(lease.Content, new ByteRange(0, 100)));
            Assert.Contains(sample.Digest, Cache.Digests);
            await _containerd.StartAsync();

            await lease.Content.PrepareAsync(0, 100, TestContext.Current.CancellationToken);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, 100)));
        }
    }

    [Fact]
    public async Task Prepare_ContainerdStaysAway_IsWithdrawnAndOfferedAgainLater()
    {
        var sample = await StartAsync(new SampleContent(4, MiB));
        await _containerd.StopAsync();
        Assert.True(Cache.TryOpen(sample.Digest, out var lease));
        using (lease)
        {
            for (var tries = 0; tries < 5; tries++)
            {
                await lease.Content.PrepareAsync(0, 100, TestContext.Current.CancellationToken);
                Assert.False(sample.TryRead(lease.Content, new ByteRange(0, 100)));
            }
        }

        Assert.DoesNotContain(sample.Digest, Cache.Digests);
        await _containerd.StartAsync();

        await UntilHeldAsync(sample);
        Assert.True(Cache.TryOpen(sample.Digest, out lease));
        using (lease)
        {
            await lease.Content.PrepareAsync(0, 100, TestContext.Current.CancellationToken);
            Assert.True(sample.TryRead(lease.Content, new ByteRange(0, 100)));
        }
    }

    [Fact]
    public async Task Watch_Manifest_HasItsMediaType()
    {
        var manifest = new SampleContent("""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"""u8.ToArray());
        await StartAsync(manifest);

        Assert.True(Cache.TryPeek(manifest.Digest, out var content));
        Assert.Equal("application/vnd.oci.image.index.v1+json", content.MediaType);
    }

    [Theory]
    [InlineData("Plugins")]
    [InlineData("List")]
    [InlineData("Read")]
    public async Task Stop_WhileContainerdIsAsked_IsNoFault(string call)
    {
        _containerd.Add(new SampleContent(6, 100));
        var asked = _containerd.Silence(call);
        await _containerd.StartAsync();
        await _watcher.StartAsync(TestContext.Current.CancellationToken);
        await asked.WaitAsync(Hang, TestContext.Current.CancellationToken);

        await _watcher.StopAsync(CancellationToken.None);

        Assert.Equal(TaskStatus.Canceled, _watcher.ExecuteTask!.Status);
    }

    [Fact]
    public async Task Stop_WhileServedBytesAreCompared_IsNoFault()
    {
        var sample = await StartAsync(new SampleContent(7, MiB));
        var asked = _containerd.Silence("Read");
        Assert.True(Cache.TryPeek(sample.Digest, out var content));
        content.DoubtExternal();
        await asked.WaitAsync(Hang, TestContext.Current.CancellationToken);

        await _watcher.StopAsync(CancellationToken.None);

        Assert.Equal(TaskStatus.Canceled, _watcher.ExecuteTask!.Status);
    }

    [Fact]
    public void Add_BeyondTheBudget_OldestPartsGo()
    {
        var parts = new BlobParts(3 * BlobParts.PartSize);
        using var client = new ContainerdClient(_containerd.Socket, "k8s.io", TimeProvider.System);
        using var fetcher = new BlobFetcher(client, TimeProvider.System);
        var blob = new ContainerdBlob(Digest.OfSha256([1]), 4 * BlobParts.PartSize, fetcher);
        for (var part = 0; part < 3; part++)
        {
            parts.Add(blob, part, PooledBuffer.Rent(BlobParts.PartSize));
        }

        Assert.True(parts.TryRead(blob, 0, 0, new byte[1]));
        parts.Add(blob, 3, PooledBuffer.Rent(BlobParts.PartSize));

        Assert.Equal([true, false, true, true], Enumerable.Range(0, 4).Select(part => parts.Has(blob, part)));
        Assert.Equal(3 * BlobParts.PartSize, parts.Used);
    }

    public async ValueTask DisposeAsync()
    {
        await _watcher.StopAsync(CancellationToken.None);
        _watcher.Dispose();
        await _meters.DisposeAsync();
        await _containerd.DisposeAsync();
        _setup.Dispose();
    }

    private async Task<SampleContent> StartAsync(SampleContent sample)
    {
        _containerd.Add(sample);
        await _containerd.StartAsync();
        await _watcher.StartAsync(TestContext.Current.CancellationToken);
        await UntilHeldAsync(sample);
        return sample;
    }

    private async Task UntilHeldAsync(SampleContent sample)
    {
        using var timeout = new CancellationTokenSource(Hang);
        while (!Cache.Digests.Contains(sample.Digest))
        {
            Assert.False(timeout.IsCancellationRequested, "never came: the content is known");
            await Task.Delay(20, TestContext.Current.CancellationToken);
        }
    }
}
