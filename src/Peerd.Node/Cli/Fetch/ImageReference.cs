using System.Diagnostics.CodeAnalysis;
using System.Text.RegularExpressions;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Cli.Fetch;

/// <summary>
/// The name of an image, read the way docker and containerd read it: <c>alpine</c> is
/// <c>docker.io/library/alpine:latest</c>. Always well-formed.
/// </summary>
internal sealed partial record ImageReference
{
    private const string DockerHub = "docker.io";
    private const string DefaultTag = "latest";
    private const int LongestName = 255;
    private const int MatchTimeout = 1000;

    private ImageReference(string registry, string repository, string? tag, Digest? digest)
    {
        Registry = registry;
        Repository = repository;
        Tag = tag;
        Digest = digest;
    }

    /// <summary>Host and optional port in lower case, as in <c>ns</c>.</summary>
    public string Registry { get; }

    public string Repository { get; }

    /// <summary>Null only when there is a digest.</summary>
    public string? Tag { get; }

    public Digest? Digest { get; }

    /// <summary>What the registry is asked for: the digest if there is one, else the tag.</summary>
    public string Wanted => Digest?.ToString() ?? Tag!;

    /// <summary>Reads a reference; otherwise <paramref name="error"/> says in one line what is wrong with it.</summary>
    public static bool TryParse(string text, [NotNullWhen(true)] out ImageReference? reference, [NotNullWhen(false)] out string? error)
    {
        reference = null;
        var (name, tag, digestText) = Split(text);
        var (host, repository) = SplitRegistry(name);
        var registry = string.Empty;
        Digest digest = default;
        error = repository.Length == 0 ? "it has no repository name"
            : !RegistryName.TryParse(host, out registry) ? $"'{host}' is no registry host"
            : !RegistryName.IsRepository(repository) ? $"'{repository}' is no repository name; allowed are lower-case letters, digits and the separators . _ __ - /"
            : registry.Length + 1 + repository.Length > LongestName ? $"registry and repository have more than {LongestName} characters"
            : tag is null && digestText is null && BareHash().IsMatch(name) ? "it is a bare hash; write repository@sha256:…"
            : tag is not null && !RegistryName.IsTag(tag) ? $"'{tag}' is no tag"
            : digestText is not null && !Contracts.Digest.TryParse(digestText, out digest) ? $"'{digestText}' is no digest; expected sha256:<64 lower-case hex digits>"
            : null;
        if (error is not null)
        {
            return false;
        }

        reference = new ImageReference(registry, repository, tag ?? (digestText is null ? DefaultTag : null), digestText is null ? null : digest);
        return true;
    }

    /// <summary>The full form.</summary>
    public override string ToString() => $"{Registry}/{Repository}{(Tag is null ? "" : ":" + Tag)}{(Digest is { } digest ? "@" + digest : "")}";

    private static (string Name, string? Tag, string? Digest) Split(string text)
    {
        string? digest = null;
        if (text.IndexOf('@', StringComparison.Ordinal) is >= 0 and var at)
        {
            digest = text[(at + 1)..];
            text = text[..at];
        }

        // A colon before the last slash belongs to the registry's port.
        var colon = text.LastIndexOf(':');
        return colon > text.LastIndexOf('/') ? (text[..colon], text[(colon + 1)..], digest) : (text, null, digest);
    }

    private static (string Registry, string Repository) SplitRegistry(string name)
    {
        var slash = name.IndexOf('/', StringComparison.Ordinal);
        var first = slash < 0 ? string.Empty : name[..slash];
        var (registry, repository) = first.AsSpan().ContainsAny('.', ':') || first == "localhost" || first.Any(char.IsUpper)
            ? (first, name[(slash + 1)..])
            : (DockerHub, name);
        if (registry == "index." + DockerHub)
        {
            registry = DockerHub;
        }

        return registry == DockerHub && repository.Length > 0 && !repository.Contains('/') ? (registry, "library/" + repository) : (registry, repository);
    }

    [GeneratedRegex(@"^[0-9a-f]{64}\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex BareHash();
}
