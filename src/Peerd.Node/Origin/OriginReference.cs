namespace Peerd.Node.Origin;

/// <summary>What a registry serves under a reference.</summary>
internal enum OriginKind
{
    Manifest,
    Blob,
}

/// <summary>One thing at a registry, as a client named it.</summary>
/// <param name="Registry">The registry's namespace, host and optional port, as in <c>ns</c>: <c>docker.io</c>, <c>reg.example:5000</c>.</param>
/// <param name="Repository">Repository name, for example <c>library/alpine</c>.</param>
/// <param name="Kind">Manifest or blob.</param>
/// <param name="Reference">Digest or tag.</param>
internal sealed record OriginReference(string Registry, string Repository, OriginKind Kind, string Reference);
