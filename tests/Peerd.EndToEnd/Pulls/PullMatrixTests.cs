using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>
/// Every containerd that we promise to serve, pulling in every way and form. Three nodes pull an image at the same moment and
/// its registry sends each byte once; then the registry is gone, and a node that has nothing of the image pulls it from the
/// others.
/// </summary>
[Collection(PullSiteDefinition.Name)]
public sealed class PullMatrixTests(PullSite site) : LabTest
{
    private const string Repository = "team/app";
    private const string Tag = "v1";
    private const int MiB = 1 << 20;

    public static MatrixTheoryData<string, ImageClient, bool, ImageForm> Cases => new(
        ["1.6", "1.7", "2.1"], Enum.GetValues<ImageClient>(), [false, true], Enum.GetValues<ImageForm>());

    public static MatrixTheoryData<ImageClient, bool> ChunkedCases => new(Enum.GetValues<ImageClient>(), [false, true]);

    [Theory]
    [MemberData(nameof(Cases))]
    public Task Pull_ThreeNodesAtOnceThenAFourthWithoutRegistry_EachByteLeavesTheRegistryOnce(string version, ImageClient client, bool byDigest, ImageForm form) =>
        PullAsync(new ContainerdSetup(version, HasCri: true), client, byDigest, form, 900_000, 300_000);

    [Theory]
    [MemberData(nameof(ChunkedCases))]
    public async Task Pull_LayersInChunks_EachByteLeavesTheRegistryOnce(ImageClient client, bool byDigest)
    {
        const int Chunks = 24;
        var before = await Task.WhenAll(site.Nodes.Select(CountPartialAnswersAsync));

        await PullAsync(new ContainerdSetup("2.1", HasCri: true, ChunkSize: MiB), client, byDigest, ImageForm.OciGzip, Chunks * MiB, 300_000);

        var after = await Task.WhenAll(site.Nodes.Select(CountPartialAnswersAsync));
        Assert.All(after.Zip(before, (now, then) => now - then), count => Assert.InRange(count, Chunks, long.MaxValue));
    }

    internal override string Tail() => $"{base.Tail()}\n{site.Tail()}";

    private async Task PullAsync(ContainerdSetup setup, ImageClient client, bool byDigest, ImageForm form, params int[] layerSizes)
    {
        // With its port as seed the image is this registry's own: nothing of it is in the mesh before.
        var port = site.TakePort();
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: port, form, layerSizes);
        var registry = await DockerRegistry.StartAsync(Lab, port);
        await registry.PushAsync(image, Repository, Tag);
        var containerds = await site.UseContainerdsAsync(setup, registry);
        var reference = $"{registry.Name}/{Repository}{(byDigest ? $"@{image.Index.Digest}" : $":{Tag}")}";

        var errors = await Task.WhenAll(containerds.Take(PullSite.Herd).Select(containerd => containerd.PullAsync(client, reference, PullTimeout)));

        PullAssert.Succeeded(errors);
        Amplification.Demand(registry, image);

        await registry.StopAsync();
        PullAssert.Succeeded(await containerds[PullSite.Herd].PullAsync(client, reference, PullTimeout));

        var wrong = await Task.WhenAll(containerds.Select(containerd => containerd.FindWrongContentAsync(image.All, client)));
        Assert.Empty(wrong.SelectMany(list => list));
    }

    private static async Task<long> CountPartialAnswersAsync(PeerdNode node)
    {
        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        return (await NodeMetrics.ReadAsync(node, host: null, deadline.Token)).Sum("peerd_facade_requests_total", "code=\"206\"");
    }
}
