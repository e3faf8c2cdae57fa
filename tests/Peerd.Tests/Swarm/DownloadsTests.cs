using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Swarm;

public sealed class DownloadsTests
{
    private const int Size = 300_000;

    [Fact]
    public async Task TryAddClient_OthersWereToldThatNobodyHasIt_ComesTooLateAndBeginsAnew()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var downloads = mesh.Node.Get<Downloads>();
        using var copy = downloads.Join(sample.Digest, OriginReference.None, isWhole: true);
        Assert.NotNull(await copy.Download.OpenedAsync);
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());

        Assert.False(copy.Download.TryAddClient(origin, isWhole: true));

        using var client = downloads.Join(sample.Digest, origin, isWhole: true);
        Assert.NotSame(copy.Download, client.Download);
        Assert.Null(await client.Download.OpenedAsync);
    }

    [Fact]
    public async Task Leave_OthersUseADownloadWhosePlaceAnotherHasTaken_TheyGoOn()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(Size);
        var downloads = mesh.Node.Get<Downloads>();
        var origin = new OriginReference(TestNode.Registry, "library/test", OriginKind.Blob, sample.Digest.ToString());
        var (first, second) = (downloads.Join(sample.Digest, origin, isWhole: true), downloads.Join(sample.Digest, origin, isWhole: true));
        Assert.Same(first.Download, second.Download);
        Assert.Null(await first.Download.OpenedAsync);
        using (first.AddReader(new ByteRange(0, Size), int.MaxValue))
        {
            Assert.True(await first.Download.FinishedAsync);
        }

        var third = downloads.Join(sample.Digest, origin, isWhole: true);
        Assert.NotSame(second.Download, third.Download);
        first.Dispose();

        // Waits for all that is being closed; what somebody uses besides the newest is not among it.
        third.Dispose();
        await downloads.DisposeAsync();
        Assert.False(second.Download.GaveUpAsync.IsCompleted);
        second.Dispose();
        await second.Download.GaveUpAsync.WaitAsync(TestContext.Current.CancellationToken);
    }
}
