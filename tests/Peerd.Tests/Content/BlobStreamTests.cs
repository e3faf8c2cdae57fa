using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>What one content that is read bit by bit keeps of those who read it.</summary>
public sealed class BlobStreamTests
{
    [Fact]
    public async Task Ensure_SignaturesWithoutEnd_OnlyTheLastClientsAreKnown()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(8 * 1024 * 1024);
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(sample.Digest, Signed(mesh, sample, 0), TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        var layout = new ContentLayout(sample.Bytes.Length);

        // Nothing comes, so that each read is one that misses something, and none has the time to wait for it.
        using var held = mesh.Registry.HoldBodies();
        using var gone = new CancellationTokenSource();
        await gone.CancelAsync();
        for (var i = 1; i <= 1000; i++)
        {
            await Assert.ThrowsAnyAsync<OperationCanceledException>(
                async () => await stream.EnsureAsync(layout.Frame(layout.FrameCount - 1), Signed(mesh, sample, i), TimeSpan.FromSeconds(1), gone.Token));
        }

        Assert.InRange(stream.Clients, 1, ClientOrigins.Max);
        streams.Close(stream);
    }

    private static OriginReference Signed(TestMesh mesh, SampleContent sample, int signature) =>
        OriginReference.Of(new GivenUrl(new Uri($"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?sig={signature}"), authorization: null), sample.Digest.ToString());
}
