using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>Paths of URLs that registries and stores keep contents under, and what of a path may be shown.</summary>
internal static class BlobPath
{
    /// <summary>What the paths of registries begin with.</summary>
    public const string Registry = "/v2/";

    private const string Storage = "docker/registry/v2/blobs/sha256/";

    /// <summary>The path as it was written: the query is no part of it.</summary>
    public static string Of(Uri url) => url.PathAndQuery.Split('?', 2)[0];

    /// <summary>The digest in <c>…/blobs/sha256:&lt;hex&gt;</c>; <c>default</c> when that is not the form of the path.</summary>
    public static Digest DigestOfRegistry(string path) =>
        path.LastIndexOf('/') is > 0 and var last && path.AsSpan(0, last).EndsWith("/blobs") && Digest.TryParse(path[(last + 1)..], out var digest) ? digest : default;

    /// <summary>
    /// The digest in <c>…/docker/registry/v2/blobs/sha256/&lt;first two digits&gt;/&lt;hex&gt;/data</c>; <c>default</c> when that is not the
    /// form of the path.
    /// </summary>
    public static Digest DigestOfStorage(string path)
    {
        var start = path.LastIndexOf('/' + Storage, StringComparison.Ordinal);
        var parts = start < 0 ? [] : path[(start + 1 + Storage.Length)..].Split('/');
        return parts is [{ Length: 2 } two, var hex, "data"] && hex.StartsWith(two, StringComparison.Ordinal) && Digest.TryParse($"sha256:{hex}", out var digest) ? digest : default;
    }

    /// <summary>
    /// What may be logged or told of a path: all of a registry's own path, and of others only the digest that it ends with. What
    /// else there is may be a signature: some stores write it into the path.
    /// </summary>
    public static string Show(Uri url)
    {
        var path = Of(url);
        return path == "/" || IsOfRegistry(path) ? path
            : DigestOfRegistry(path) is { IsEmpty: false } digest ? $"/…/blobs/{digest}"
            : DigestOfStorage(path) is { IsEmpty: false } stored ? $"/…/{Storage}{stored.Hex[..2]}/{stored.Hex}/data"
            : "/…";
    }

    // /v2/<name>/(blobs|manifests|referrers)/<reference>, /v2/<name>/tags/list
    private static bool IsOfRegistry(string path) =>
        path.StartsWith(Registry, StringComparison.Ordinal)
        && path[Registry.Length..].Split('/') is [_, .., var kind, var reference] parts
        && kind switch
        {
            "blobs" or "referrers" => Digest.TryParse(reference, out _),
            "manifests" => Digest.TryParse(reference, out _) || RegistryName.IsTag(reference),
            "tags" => reference == "list",
            _ => false,
        }
        && RegistryName.IsRepository(string.Join('/', parts[..^2]));
}
