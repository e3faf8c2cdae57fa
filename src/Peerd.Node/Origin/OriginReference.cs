using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>What a registry serves under a reference.</summary>
internal enum OriginKind
{
    Manifest,
    Blob,

    /// <summary>A page of the tags of a repository; the reference is <c>list</c>.</summary>
    Tags,

    /// <summary>A page of what refers to a manifest; the reference is its digest.</summary>
    Referrers,
}

/// <summary>One thing at a registry, as a client named it.</summary>
/// <param name="Registry">The registry's namespace, host and optional port, as in <c>ns</c>: <c>docker.io</c>, <c>reg.example:5000</c>.</param>
/// <param name="Repository">Repository name, for example <c>library/alpine</c>.</param>
/// <param name="Kind">Manifest or blob.</param>
/// <param name="Reference">Digest or tag.</param>
internal sealed record OriginReference(string Registry, string Repository, OriginKind Kind, string Reference)
{
    /// <summary>Nowhere: what only other nodes are to be asked for.</summary>
    public static readonly OriginReference None = new(string.Empty, string.Empty, OriginKind.Blob, string.Empty);

    /// <summary>The URL that the client wants it read from; null when the registry is to be asked for it.</summary>
    public GivenUrl? Given { get; init; }

    /// <summary>
    /// What the client brought for the registry; null when the registry is read with what this node has for it
    /// (<see cref="RegistryAuth"/>).
    /// </summary>
    public CallerCredential? Credential { get; init; }

    /// <summary>It has something that is a secret of its client alone. A signature in a URL serves whoever wants the content.</summary>
    public bool IsPrivate => (Credential?.Authorization ?? Given?.Authorization) is not null;

    /// <summary>What is fetched for the client of the one may be fetched for that of the other.</summary>
    public bool Serves(OriginReference other) => Equals(other) || !(IsPrivate || other.IsPrivate);

    /// <summary>The same for memories that outlive the client's request: they hold none of its secrets.</summary>
    public OriginReference WithoutSecrets() =>
        Credential is null && Urgency is null ? this : this with { Credential = Credential?.Forgotten, Urgency = null };

    /// <summary>A container waits for it right now: it does not queue behind what is fetched for later.</summary>
    public bool IsUrgent { get; init; }

    /// <summary>Who goes first where the bandwidth is limited, asked again and again while it is read; null for a pull.</summary>
    public Func<Urgency>? Urgency { get; init; }

    /// <summary>Query of a list, escaped, without the question mark.</summary>
    public string Query { get; init; } = string.Empty;

    /// <summary>A blob at a URL that a client gave.</summary>
    /// <param name="given">The URL.</param>
    /// <param name="digest">Its digest as written; empty when the URL does not tell.</param>
    public static OriginReference Of(GivenUrl given, string digest) =>
        new(given.Url.Authority, string.Empty, OriginKind.Blob, digest) { Given = given };
}
