using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>What a node's containerd has got without the mesh is there for the other nodes, as long as it has it.</summary>
public sealed class ContainerdStoreTests : LabTest
{
    private const string Repository = "team/app";
    private const int MiB = 1 << 20;

    /// <summary>Garbage collection, the look after it, and the way to the owner.</summary>
    private static readonly TimeSpan WithdrawalLimit = TimeSpan.FromSeconds(15);

    private PeerdNode[] _nodes = [];
    private Containerd[] _containerds = [];
    private DockerRegistry _registry = null!;

    public static TheoryData<string> Versions => ["1.6", "1.7", "2.1"];

    [Theory]
    [MemberData(nameof(Versions))]
    public async Task Pull_ImageInAnotherNodesContainerd_ComesFromThereUntilItIsDeleted(string version)
    {
        await StartAsync(new ContainerdSetup(version, HasCri: true));
        var first = await PushAsync(seed: 31, "v1");

        await PullDirectlyAsync("v1");
        await UntilHeldAsync(first.All);
        await AssertServedByFirstNodeAsync(to: 1, first, "v1");

        await _containerds[0].RemoveAsync(ImageClient.Cri, Reference("v1"));
        await UntilWithdrawnAsync(first.Layers);
        await PullAsync(by: 2, first, "v1");

        await _containerds[0].RestartAsync();
        var second = await PushAsync(seed: 32, "v2");
        await PullDirectlyAsync("v2");
        await UntilHeldAsync(second.All);
        await AssertServedByFirstNodeAsync(to: 2, second, "v2");
    }

    [Fact]
    public async Task Pull_NodeDoesNotSeeTheFilesOfItsContainerd_ComesThroughTheSocket()
    {
        await StartAsync(new ContainerdSetup("2.1", HasCri: true, IsHidden: true), new ContainerdSetup("2.1", HasCri: true));
        var image = await PushAsync(seed: 33, "v1");

        await PullDirectlyAsync("v1");
        await UntilHeldAsync(image.All);
        await AssertServedByFirstNodeAsync(to: 1, image, "v1");
        var log = _nodes[0].Process.Output.Concat(_nodes[0].Process.Errors);
        Assert.Single(log, line => line.Contains("containerd is asked for their bytes", StringComparison.Ordinal));
    }

    // containerd 2.1 tells of each content; the next listing is five minutes away.
    [Fact]
    public async Task Ingest_ContentThatNoImageNames_IsAnnouncedByItsEvent()
    {
        await StartAsync(new ContainerdSetup("2.1"));
        var image = TestImage.Generate(Lab.CreateFolder("image"), seed: 34, 2 * MiB);
        var layer = image.Layers.Single();
        var process = _nodes[0].Process;
        await Wait.UntilAsync("containerd is followed", process, () => Task.FromResult(process.Output.Any(line => line.Contains("is a source", StringComparison.Ordinal))), PullTimeout);

        await _containerds[0].IngestAsync(layer);

        await DirectoryProbe.UntilCompleteAsync(_nodes, layer.Digest, _nodes[0], PullTimeout);
    }

    [Theory]
    [InlineData("1.7")]
    [InlineData("2.1")]
    public async Task Pull_LayersDiscardedByAnotherNodesContainerd_OnlyTheRestComesFromThere(string version)
    {
        await StartAsync(new ContainerdSetup(version, HasCri: true, DiscardsLayers: true), new ContainerdSetup(version, HasCri: true));
        var image = await PushAsync(seed: 35, "v1");
        TestImage.Part[] kept = [.. image.All.Except(image.Layers)];

        await PullDirectlyAsync("v1");
        await UntilHeldAsync(kept);
        await Wait.UntilAsync("the layers are discarded", _containerds[0].Process, AreDiscardedAsync, WithdrawalLimit);
        await UntilWithdrawnAsync(image.Layers);
        var before = Bytes(kept);
        await PullAsync(by: 1, image, "v1");

        Assert.Equal(before, Bytes(kept));
        await UntilHeldAsync(kept);

        async Task<bool> AreDiscardedAsync() => !(await _containerds[0].ListContentAsync(ImageClient.Cri)).Intersect(image.Layers.Select(layer => layer.Digest)).Any();
    }

    // Whoever is frozen cannot be asked for a listing: nobody but the reader can see that the file has gone.
    [Fact]
    public async Task Pull_LayerDeletedBehindTheBackOfAnotherNodesContainerd_ComesFromElsewhereAndIsWithdrawn()
    {
        await StartAsync(new ContainerdSetup("2.1", HasCri: true));
        var image = await PushAsync(seed: 36, "v1");
        await PullDirectlyAsync("v1");
        await UntilHeldAsync(image.All);

        // Of a small one the owner gets a copy, and the owner may be the first node.
        var layer = image.Layers.MaxBy(layer => layer.Size)!;
        _containerds[0].Process.Freeze();
        _containerds[0].DeleteFile(layer.Digest);
        await PullAsync(by: 1, image, "v1");

        await UntilWithdrawnAsync(layer);
    }

    private async Task StartAsync(ContainerdSetup first, ContainerdSetup? others = null)
    {
        _registry = await DockerRegistry.StartAsync(Lab);
        _nodes = PeerdNode.CreateMany(Lab, 3);
        _containerds = await Task.WhenAll(_nodes.Select((node, i) => Containerd.StartAsync(Lab, $"c-{node.Name}", i == 0 ? first : others ?? first)));
        await Task.WhenAll(_nodes.Zip(_containerds, StartAsync));
    }

    private async Task StartAsync(PeerdNode node, Containerd containerd)
    {
        await containerd.UseMirrorAsync(_registry.Name, node.Facade);
        var configuration = node.Configure(_nodes, _registry.Upstream);
        configuration["Peerd"]!["Containerd"] = new JsonObject { ["Socket"] = containerd.Socket };
        await node.StartAsync(configuration);
    }

    private async Task<TestImage> PushAsync(int seed, string tag)
    {
        var image = TestImage.Generate(Lab.CreateFolder($"image-{tag}"), seed, 5 * MiB, 300_000);
        await _registry.PushAsync(image, Repository, tag);
        return image;
    }

    private string Reference(string tag) => $"{_registry.Name}/{Repository}:{tag}";

    // The first containerd, past its node.
    private async Task PullDirectlyAsync(string tag)
    {
        await _containerds[0].UseMirrorAsync(_registry.Name, _registry.Endpoint);
        PullAssert.Succeeded(await _containerds[0].PullAsync(ImageClient.Cri, Reference(tag), PullTimeout));
    }

    private async Task PullAsync(int by, TestImage image, string tag)
    {
        PullAssert.Succeeded(await _containerds[by].PullAsync(ImageClient.Cri, Reference(tag), PullTimeout));
        Assert.Empty(await _containerds[by].FindWrongContentAsync(image.All, ImageClient.Cri));
    }

    private async Task UntilHeldAsync(IEnumerable<TestImage.Part> parts)
    {
        foreach (var part in parts)
        {
            await DirectoryProbe.UntilCompleteAsync(_nodes, part.Digest, _nodes[0], PullTimeout);
        }
    }

    private async Task UntilWithdrawnAsync(params IEnumerable<TestImage.Part> layers)
    {
        foreach (var layer in layers)
        {
            await DirectoryProbe.UntilWithdrawnAsync(_nodes, layer.Digest, _nodes[0], WithdrawalLimit);
        }
    }

    private async Task AssertServedByFirstNodeAsync(int to, TestImage image, string tag)
    {
        var before = Bytes(image.Blobs);
        var readBefore = await ReadFromContainerdAsync();

        await PullAsync(to, image, tag);

        Assert.Equal(before, Bytes(image.Blobs));
        Assert.InRange(await ReadFromContainerdAsync() - readBefore, image.Layers.Sum(layer => layer.Size), long.MaxValue);
        Assert.Equal(0, (await NodeMetrics.ReadAsync(_nodes[0], null, TestContext.Current.CancellationToken)).Sum("peerd_cache_bytes"));
    }

    private async Task<long> ReadFromContainerdAsync() =>
        (await NodeMetrics.ReadAsync(_nodes[0], null, TestContext.Current.CancellationToken)).Sum("peerd_storage_read_bytes_total", "source=\"containerd\"");

    private long Bytes(IEnumerable<TestImage.Part> parts)
    {
        var read = _registry.ReadSoFar();
        return parts.Sum(part => read.TryGetValue(part.Digest, out var traffic) ? traffic.Bytes : 0);
    }
}
