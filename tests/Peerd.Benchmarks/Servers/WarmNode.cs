using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>A node that has the benchmark's file in its cache.</summary>
/// <param name="Node">The node.</param>
/// <param name="BlobUrl">The file at its facade.</param>
internal sealed record WarmNode(PeerdNode Node, Uri BlobUrl)
{
    /// <summary>Starts a node, alone, and has it read the file from its registry.</summary>
    /// <param name="lab">Owns the process.</param>
    /// <param name="registry">Has the file.</param>
    /// <param name="file">The file.</param>
    /// <param name="tlsFolder">Has the files of <see cref="MeshAuthority"/>; null for clear text.</param>
    public static async Task<WarmNode> StartAsync(Lab lab, Nginx registry, BenchmarkFile file, string? tlsFolder = null)
    {
        var node = PeerdNode.Create(lab, tlsFolder is null ? "n1" : "n1-tls");
        var settings = node.Configure([node], registry.Upstream);
        if (tlsFolder is not null)
        {
            settings["Peerd"]!["Mesh"]!["Tls"] = new JsonObject(MeshAuthority.Settings(tlsFolder).Select(setting => KeyValuePair.Create(setting.Key, (JsonNode?)setting.Value)));
        }

        await node.StartAsync(settings);
        var url = new Uri(node.Facade, $"{file.UrlPath}?ns={Uri.EscapeDataString(registry.Upstream.Name)}");
        var size = await Curl.ReadAsync(lab, url);
        return size == file.Size
            ? new WarmNode(node, url)
            : throw new InvalidOperationException($"the node served {size} of {file.Size} bytes");
    }
}
