using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Cli.Fetch;

/// <summary>What to fetch: an image, or one blob of a registry.</summary>
internal abstract record FetchTarget
{
    /// <summary>Host and optional port of the registry, as in <c>ns</c>.</summary>
    public abstract string Registry { get; }

    /// <summary>Reads an image reference or the URL of a registry blob; otherwise <paramref name="error"/> is one line for people.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out FetchTarget? target, [NotNullWhen(false)] out string? error)
    {
        target = null;
        if (text.Contains("://", StringComparison.Ordinal))
        {
            target = BlobTarget.FromUrl(text);
            error = target is null ? $"'{text}': only URLs of registry blobs are supported, https://<registry>/v2/<repository>/blobs/sha256:<64 lower-case hex digits>" : null;
            return target is not null;
        }

        if (!ImageReference.TryParse(text, out var image, out var problem))
        {
            error = $"'{text}' is no image reference: {problem}";
            return false;
        }

        target = new ImageTarget(image);
        error = null;
        return true;
    }
}

/// <summary>An image by reference.</summary>
internal sealed record ImageTarget(ImageReference Image) : FetchTarget
{
    public override string Registry => Image.Registry;

    public override string ToString() => Image.ToString();
}

/// <summary>One blob.</summary>
internal sealed record BlobTarget(string RegistryHost, string Repository, Digest Digest) : FetchTarget
{
    public override string Registry => RegistryHost;

    /// <summary>Reads <c>https://host/v2/name/blobs/digest</c>; null for any other URL.</summary>
    public static BlobTarget? FromUrl(string text)
    {
        const string api = "/v2/";
        const string blobs = "/blobs/";
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url) || url.Scheme is not ("http" or "https") || url.Query.Length > 0 || url.Fragment.Length > 0 || url.UserInfo.Length > 0)
        {
            return null;
        }

        var path = url.AbsolutePath;
        var middle = path.LastIndexOf(blobs, StringComparison.Ordinal);
        if (!path.StartsWith(api, StringComparison.Ordinal) || middle <= api.Length || !Digest.TryParse(path[(middle + blobs.Length)..], out var digest))
        {
            return null;
        }

        var repository = path[api.Length..middle];
        return RegistryName.TryParse(url.Authority, out var registry) && RegistryName.IsRepository(repository) ? new BlobTarget(registry, repository, digest) : null;
    }

    public override string ToString() => $"{Registry}/{Repository}@{Digest}";
}
