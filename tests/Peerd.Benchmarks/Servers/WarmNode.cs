using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>A node that has the benchmark's file in its cache.</summary>
/// <param name="Node">The node.</param>
/// <param name="BlobUrl">The file at its facade.</param>
internal sealed record WarmNode(PeerdNode Node, Uri BlobUrl)
{
    /// <summary>Starts a node, alone, and has it read the file from its registry.</summary>
    public static async Task<WarmNode> StartAsync(Lab lab, Nginx registry, BenchmarkFile file)
    {
        var node = PeerdNode.Create(lab, "n1");
        await node.StartAsync([node], registry.Upstream);
        var url = new Uri(node.Facade, $"{file.UrlPath}?ns={Uri.EscapeDataString(registry.Upstream.Name)}");
        var size = await Curl.ReadAsync(lab, url);
        return size == file.Size
            ? new WarmNode(node, url)
            : throw new InvalidOperationException($"the node served {size} of {file.Size} bytes");
    }
}
