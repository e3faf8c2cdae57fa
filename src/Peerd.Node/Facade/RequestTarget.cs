using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>What a request is about.</summary>
internal enum RequestKind
{
    /// <summary><c>/v2/</c>: does this speak the registry API?</summary>
    Version,

    /// <summary>A manifest by tag or digest.</summary>
    Manifest,

    /// <summary>A blob by digest.</summary>
    Blob,

    /// <summary>The tags of a repository.</summary>
    Tags,

    /// <summary>What refers to a manifest.</summary>
    Referrers,

    /// <summary>Well-formed, but nothing that a mirror has.</summary>
    NotServed,
}

/// <summary>
/// A request target, read from the line as the client sent it: the decoded path would make <c>%2F</c> and <c>/</c> the
/// same thing. Every part is well-formed.
/// </summary>
internal sealed record RequestTarget(RequestKind Kind)
{
    private const string Prefix = "/v2/";

    /// <summary>Repository name; empty unless there is one in the path.</summary>
    public string Repository { get; private init; } = string.Empty;

    /// <summary>Tag or digest as written.</summary>
    public string Reference { get; private init; } = string.Empty;

    /// <summary>The digest, or <c>default</c> when the reference is a tag.</summary>
    public Digest Digest { get; private init; }

    /// <summary>Query for the registry: parameters of lists that are known, written anew.</summary>
    public string Query { get; private init; } = string.Empty;

    /// <summary>Registry that the client means (<c>ns</c>); null when it names none.</summary>
    public string? Registry { get; private init; }

    /// <summary>Reads a target.</summary>
    public static bool TryParse(string rawTarget, [NotNullWhen(true)] out RequestTarget? target, [NotNullWhen(false)] out RegistryError? error)
    {
        var mark = rawTarget.IndexOf('?', StringComparison.Ordinal);
        var path = mark < 0 ? rawTarget : rawTarget[..mark];
        var query = mark < 0 ? [] : rawTarget.AsSpan(mark + 1);
        if (TryParsePath(path, out target, out error) && TryParseQuery(query, out var registry, out error))
        {
            if (!ListQuery.TryParse(query, target.Kind, out var listQuery))
            {
                return Fail(RegistryError.BadRequest(RegistryError.Unsupported, ListQuery.Allowed), out target, out error);
            }

            target = target with { Registry = registry, Query = listQuery };
            return true;
        }

        target = null;
        return false;
    }

    private static bool TryParsePath(string path, [NotNullWhen(true)] out RequestTarget? target, [NotNullWhen(false)] out RegistryError? error)
    {
        if (path is "/v2" or Prefix)
        {
            return Ok(new RequestTarget(RequestKind.Version), out target, out error);
        }

        // Also refuses the absolute form, http://host/v2/…, which is for proxies of another kind.
        if (path.Length == 0 || path[0] != '/' || !IsPlain(path))
        {
            return Fail(RegistryError.BadRequest(RegistryError.NameInvalid, "the path has characters that no name has"), out target, out error);
        }

        // A reference has no slash, a name may have a component called "blobs": so the path is read from its end.
        var referenceAt = path.LastIndexOf('/') + 1;
        var kindAt = referenceAt < 2 ? 0 : path.LastIndexOf('/', referenceAt - 2) + 1;
        if (!path.StartsWith(Prefix, StringComparison.Ordinal) || kindAt < Prefix.Length)
        {
            return Ok(new RequestTarget(RequestKind.NotServed), out target, out error);
        }

        var reference = path[referenceAt..];
        var kind = path[kindAt..(referenceAt - 1)] switch
        {
            "manifests" => RequestKind.Manifest,
            "blobs" => RequestKind.Blob,
            "referrers" => RequestKind.Referrers,
            "tags" when reference == "list" => RequestKind.Tags,
            _ => (RequestKind?)null,
        };
        if (kind is null)
        {
            return Ok(new RequestTarget(RequestKind.NotServed), out target, out error);
        }

        var repository = kindAt == Prefix.Length ? string.Empty : path[Prefix.Length..(kindAt - 1)];
        if (!RegistryName.IsRepository(repository))
        {
            return Fail(RegistryError.BadRequest(RegistryError.NameInvalid, "the repository name is not well-formed"), out target, out error);
        }

        if (kind == RequestKind.Tags)
        {
            return Ok(new RequestTarget(RequestKind.Tags) { Repository = repository, Reference = reference }, out target, out error);
        }

        var isDigest = Digest.TryParse(reference, out var digest);
        if (!isDigest && (kind != RequestKind.Manifest || reference.Contains(':', StringComparison.Ordinal)))
        {
            return Fail(RegistryError.BadRequest(RegistryError.DigestInvalid, "expected sha256:<64 lower-case hex digits> or sha512:<128>"), out target, out error);
        }

        if (!isDigest && !RegistryName.IsTag(reference))
        {
            return Fail(RegistryError.BadRequest(RegistryError.NameInvalid, "the tag is not well-formed"), out target, out error);
        }

        return Ok(new RequestTarget(kind.Value) { Repository = repository, Reference = reference, Digest = digest }, out target, out error);
    }

    /// <summary>Visible ASCII without the characters that other programs give a meaning of their own.</summary>
    private static bool IsPlain(string path)
    {
        foreach (var c in path)
        {
            if (c is <= ' ' or > '~' or '%' or '\\' or '#')
            {
                return false;
            }
        }

        return true;
    }

    private static bool TryParseQuery(ReadOnlySpan<char> query, out string? registry, [NotNullWhen(false)] out RegistryError? error)
    {
        registry = null;
        error = null;
        foreach (var part in query.Split('&'))
        {
            var pair = query[part];
            var equals = pair.IndexOf('=');
            var key = equals < 0 ? pair : pair[..equals];
            if (!Uri.UnescapeDataString(key).Equals("ns", StringComparison.Ordinal))
            {
                continue;
            }

            var value = equals < 0 ? string.Empty : Uri.UnescapeDataString(pair[(equals + 1)..]);
            if (registry is not null || !RegistryName.TryParse(value, out registry))
            {
                error = RegistryError.BadRequest(RegistryError.NameInvalid, "ns must be given once, as host or host:port");
                return false;
            }
        }

        return true;
    }

    private static bool Ok(RequestTarget parsed, out RequestTarget? target, out RegistryError? error)
    {
        target = parsed;
        error = null;
        return true;
    }

    private static bool Fail(RegistryError why, out RequestTarget? target, out RegistryError? error)
    {
        target = null;
        error = why;
        return false;
    }
}
