using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Fetch;

/// <summary>Where the bytes of a pull came from, told by the numbers of the node before and after it.</summary>
internal sealed record FetchSources(long OriginBytes, long PeerBytes, long CacheBytes)
{
    /// <summary>
    /// Other pulls of the node in the same time are in its numbers too, so that origin and peers may be more than was
    /// fetched; the cache then counts as 0.
    /// </summary>
    public static FetchSources? Between(NodeBytes? before, NodeBytes? after, long fetched) => before is { } from && after is { } to
        ? new FetchSources(to.Origin - from.Origin, to.Peers - from.Peers, Math.Max(0, fetched - (to.Origin - from.Origin) - (to.Peers - from.Peers)))
        : null;
}

/// <summary>One content that was fetched.</summary>
internal sealed record FetchedContent(string? Digest, string? MediaType, long Size);

/// <summary>How a fetch went; <c>peerd fetch --json</c> prints it as it is.</summary>
/// <param name="Ok">All was fetched and verified.</param>
/// <param name="Error">One line that says why not, or null.</param>
/// <param name="Target">What was asked for, in full form.</param>
/// <param name="Digest">What it stands for: of a tag the digest of the index or manifest.</param>
/// <param name="Bytes">Bytes of all contents.</param>
/// <param name="Seconds">How long it took.</param>
/// <param name="Sources">Null when the node did not tell.</param>
/// <param name="Output">What was written, or null.</param>
/// <param name="Contents">What was fetched.</param>
internal sealed record FetchReport(
    bool Ok,
    string? Error,
    string Target,
    string? Digest,
    long Bytes,
    double Seconds,
    FetchSources? Sources,
    string? Output,
    IReadOnlyList<FetchedContent> Contents);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(FetchReport))]
internal sealed partial class FetchReportJson : JsonSerializerContext
{
    /// <summary>For terminals and files, where no character needs to be hidden from HTML.</summary>
    public static FetchReportJson Plain { get; } = new(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
