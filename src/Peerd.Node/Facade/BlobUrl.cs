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

    private const string Registry = "/v2/";
    private const string Storage = "docker/registry/v2/blobs/sha256/";

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

    /// <summary>
    /// The digest when the URL itself shows it: what it leads to can be nothing else. A parameter shows nothing, since most
    /// hosts do not look at it, and neither does a path that a registry does not know.
    /// </summary>
    /// <param name="isRegistry">The host is a registry, not a store.</param>
    public Digest ShownDigest(bool isRegistry)
    {
        var path = PathOf(Url);
        var shown = OfRegistryPath(path);
        return !shown.IsEmpty && path.StartsWith(Registry, StringComparison.Ordinal) && RegistryName.IsRepository(path[Registry.Length..path.LastIndexOf("/blobs/", StringComparison.Ordinal)]) ? shown
            : isRegistry ? default
            : OfStoragePath(path);
    }

    /// <summary>
    /// The digest that a registry or a store keeps the content under, as the URL tells it. Beside a path a parameter counts for nothing, or
    /// against it when it differs: most hosts do not look at it, and whoever has a repository could give his content the digest of another's.
    /// A path of which a part is encoded names none: what it is for its host is not known here. Neither is which of two parameters counts.
    /// </summary>
    private static Digest DigestIn(Uri url)
    {
        var path = PathOf(url);
        var told = DigestsOfParameters(url.Query);
        if (path == "/")
        {
            return told is [var only] ? only : default;
        }

        var shown = path.Contains('%', StringComparison.Ordinal) ? default
            : OfRegistryPath(path) is { IsEmpty: false } digest ? digest
            : OfStoragePath(path);
        return told.TrueForAll(digest => digest.IsEmpty || digest == shown) ? shown : default;
    }

    // As it was written: the query is no part of it.
    private static string PathOf(Uri url) => url.PathAndQuery.Split('?', 2)[0];

    // …/blobs/sha256:<hex>
    private static Digest OfRegistryPath(string path)
    {
        var last = path.LastIndexOf('/');
        return last > 0 && path.AsSpan(0, last).EndsWith("/blobs") && Digest.TryParse(path[(last + 1)..], out var digest) ? digest : default;
    }

    // …/docker/registry/v2/blobs/sha256/<first two digits>/<hex>/data
    private static Digest OfStoragePath(string path)
    {
        var start = path.LastIndexOf('/' + Storage, StringComparison.Ordinal);
        var parts = start < 0 ? [] : path[(start + 1 + Storage.Length)..].Split('/');
        return parts is [{ Length: 2 } two, var hex, "data"] && hex.StartsWith(two, StringComparison.Ordinal) && Digest.TryParse($"sha256:{hex}", out var digest) ? digest : default;
    }

    // d=sha256:<hex>, however it is written; an empty one for each that is something else.
    private static List<Digest> DigestsOfParameters(string query) =>
        [
            .. query[Math.Min(1, query.Length)..].Split('&', ';').Select(static parameter => parameter.Split('=', 2))
                .Where(static parameter => Uri.UnescapeDataString(parameter[0]).Equals("d", StringComparison.OrdinalIgnoreCase))
                .Select(static parameter => parameter is [_, var value] && Digest.TryParse(Uri.UnescapeDataString(value), out var digest) ? digest : default),
        ];
}
