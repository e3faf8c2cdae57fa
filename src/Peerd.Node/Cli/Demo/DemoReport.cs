using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Demo;

/// <summary>How one node of the demo did.</summary>
/// <param name="Node">Its name.</param>
/// <param name="Seconds">From the common start until it had the image, or failed.</param>
/// <param name="OriginBytes">Bytes that it read from the registry.</param>
/// <param name="PeerBytes">Bytes that it received from other nodes.</param>
/// <param name="CacheBytes">Bytes that it had already.</param>
/// <param name="Ok">It got the whole image and every digest was right.</param>
internal sealed record DemoNodeReport(string Node, double Seconds, long OriginBytes, long PeerBytes, long CacheBytes, bool Ok)
{
    /// <summary>Why not, in one line.</summary>
    [JsonIgnore]
    public string? Error { get; init; }
}

/// <summary>How the demo went; <c>peerd demo --json</c> prints it as it is.</summary>
/// <param name="Nodes">How many nodes pulled.</param>
/// <param name="ImageBytes">Bytes of the image: index, manifest, config and layers once.</param>
/// <param name="OriginBytes">Bytes of these that the registry sent.</param>
/// <param name="OriginRequests">Requests that the registry got.</param>
/// <param name="Amplification">Bytes that the registry sent per byte of the image.</param>
/// <param name="Seconds">From the common start until the last node had ended.</param>
/// <param name="PerNode">Each node, in order.</param>
internal sealed record DemoReport(int Nodes, long ImageBytes, long OriginBytes, long OriginRequests, double Amplification, double Seconds, IReadOnlyList<DemoNodeReport> PerNode)
{
    /// <summary>Every node has the image.</summary>
    [JsonIgnore]
    public bool Ok => PerNode.All(node => node.Ok);
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(DemoReport))]
internal sealed partial class DemoReportJson : JsonSerializerContext;
