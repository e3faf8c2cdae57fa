using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// What a request below <c>/blobs/</c> is about: an absolute URL, verbatim behind the prefix, nothing of it encoded, its
/// query included. Which content it names is found out from the URL: signatures, repositories and hosts differ.
/// </summary>
/// <param name="Url">The URL as the client wrote it.</param>
/// <param name="Digest">The digest that it names; <c>default</c> when it names none.</param>
internal sealed record BlobUrl(Uri Url, Digest Digest)
{
    public const string Prefix = "/blobs/";

    /// <summary>With these stores answer something else than the blob, a part, or another version of it; not all of them sign it.</summary>
    private static readonly HashSet<string> OtherThanTheBlob = new(StringComparer.OrdinalIgnoreCase)
    {
        // Azure.
        "comp", "restype", "snapshot", "versionid",

        // S3, and those that speak like it.
        "acl", "attributes", "legal-hold", "partNumber", "retention", "tagging", "torrent", "uploadId",

        // Google, Swift.
        "alt", "generation", "multipart-manifest", "symlink",

        // COS, OSS, OBS.
        "ci-process", "x-oss-process", "x-image-process",
    };

    /// <summary>Reads the target of a request line; false when what is behind the prefix is not exactly an absolute http or https URL.</summary>
    public static bool TryParse(string rawTarget, [NotNullWhen(true)] out BlobUrl? blob)
    {
        blob = null;
        if (!rawTarget.StartsWith(Prefix, StringComparison.Ordinal))
        {
            return false;
        }

        // A fragment is never sent, and a client that sends one means something else than we would understand.
        var text = rawTarget[Prefix.Length..];
        if (text.Contains('#', StringComparison.Ordinal) || text.Contains("%00", StringComparison.Ordinal) || !OriginUrl.TryParse(text, out var url))
        {
            return false;
        }

        blob = new BlobUrl(url, DigestIn(url));
        return true;
    }

    /// <summary>A parameter asks for something else than the blob: no digest is believed then.</summary>
    public bool AsksForSomethingElse => HasOtherThanTheBlob(Url.Query);

    /// <summary>The path shows the digest as a store keeps it, which is all that an account has contents by.</summary>
    public bool IsOfStore => !Digest.IsEmpty && Digest == BlobPath.DigestOfStorage(BlobPath.Of(Url));

    /// <summary>
    /// The digest when the URL itself shows it: what it leads to can be nothing else. A parameter shows nothing, since most
    /// hosts do not look at it, and neither does a path that a registry does not know.
    /// </summary>
    /// <param name="isRegistry">The host is a registry, not a store.</param>
    public Digest ShownDigest(bool isRegistry)
    {
        var path = BlobPath.Of(Url);
        var shown = BlobPath.DigestOfRegistry(path);
        return !shown.IsEmpty && path.StartsWith(BlobPath.Registry, StringComparison.Ordinal) && RegistryName.IsRepository(path[BlobPath.Registry.Length..path.LastIndexOf("/blobs/", StringComparison.Ordinal)]) ? shown
            : isRegistry ? default
            : BlobPath.DigestOfStorage(path);
    }

    /// <summary>
    /// The digest that a registry or a store keeps the content under, as the URL tells it. Beside a path a parameter counts for nothing, or
    /// against it when it differs: most hosts do not look at it, and whoever has a repository could give his content the digest of another's.
    /// A path of which a part is encoded names none: what it is for its host is not known here. Neither is which of two parameters counts.
    /// And none is named where a parameter asks for something else than the blob: whoever has a signature that reads it may write that into his URL.
    /// </summary>
    private static Digest DigestIn(Uri url)
    {
        if (HasOtherThanTheBlob(url.Query))
        {
            return default;
        }

        var path = BlobPath.Of(url);
        var told = DigestsOfParameters(url.Query);
        if (path == "/")
        {
            return told is [var only] ? only : default;
        }

        var shown = path.Contains('%', StringComparison.Ordinal) ? default
            : BlobPath.DigestOfRegistry(path) is { IsEmpty: false } digest ? digest
            : BlobPath.DigestOfStorage(path);
        return told.TrueForAll(digest => digest.IsEmpty || digest == shown) ? shown : default;
    }

    private static bool HasOtherThanTheBlob(string query) => Parameters(query).Any(static parameter => OtherThanTheBlob.Contains(Uri.UnescapeDataString(parameter[0])));

    private static IEnumerable<string[]> Parameters(string query) =>
        query[Math.Min(1, query.Length)..].Split('&', ';').Select(static parameter => parameter.Split('=', 2));

    // d=sha256:<hex>, however it is written; an empty one for each that is something else.
    private static List<Digest> DigestsOfParameters(string query) =>
        [
            .. Parameters(query)
                .Where(static parameter => Uri.UnescapeDataString(parameter[0]).Equals("d", StringComparison.OrdinalIgnoreCase))
                .Select(static parameter => parameter is [_, var value] && Digest.TryParse(Uri.UnescapeDataString(value), out var digest) ? digest : default),
        ];
}
