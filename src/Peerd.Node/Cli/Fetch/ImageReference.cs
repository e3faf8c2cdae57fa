using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.RegularExpressions;
using Peerd.Contracts;

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

    /// <summary>Host and optional port, as in <c>ns</c>.</summary>
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
        var (registry, repository) = SplitRegistry(name);
        Digest digest = default;
        error = repository.Length == 0 ? "it has no repository name"
            : !IsRegistry(registry) ? $"'{registry}' is no registry host"
            : !IsRepository(repository) ? $"'{repository}' is no repository name; allowed are lower-case letters, digits and the separators . _ __ - /"
            : registry.Length + 1 + repository.Length > LongestName ? $"registry and repository have more than {LongestName} characters"
            : tag is null && digestText is null && BareHash().IsMatch(name) ? "it is a bare hash; write repository@sha256:…"
            : tag is not null && !TagPattern().IsMatch(tag) ? $"'{tag}' is no tag"
            : digestText is not null && !Contracts.Digest.TryParse(digestText, out digest) ? $"'{digestText}' is no digest; expected sha256:<64 lower-case hex digits>"
            : null;
        if (error is not null)
        {
            return false;
        }

        reference = new ImageReference(registry, repository, tag ?? (digestText is null ? DefaultTag : null), digestText is null ? null : digest);
        return true;
    }

    /// <summary>True for a host name or address with an optional port.</summary>
    public static bool IsRegistry(string text) => text.Length <= LongestName && RegistryPattern().Match(text) is { Success: true } match
        && (!match.Groups["port"].Success || int.Parse(match.Groups["port"].ValueSpan, CultureInfo.InvariantCulture) is > 0 and <= 65535);

    /// <summary>True for a name of the distribution specification.</summary>
    public static bool IsRepository(string text) => text.Length <= LongestName && RepositoryPattern().IsMatch(text);

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

    [GeneratedRegex(@"^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex RepositoryPattern();

    [GeneratedRegex(@"^([a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(:(?<port>[0-9]{1,5}))?\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex RegistryPattern();

    [GeneratedRegex(@"^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex TagPattern();

    [GeneratedRegex(@"^[0-9a-f]{64}\z", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex BareHash();
}
