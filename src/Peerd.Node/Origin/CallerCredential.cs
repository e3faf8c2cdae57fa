namespace Peerd.Node.Origin;

/// <summary>
/// What a client brought for a registry. It stays on this node and is used only for what this client reads, and where it is
/// remembered that somebody had it, only <see cref="Forgotten"/> is kept. Two are the same when the registry would see the
/// same. Immutable.
/// </summary>
internal sealed class CallerCredential : IEquatable<CallerCredential>
{
    private readonly UInt128 _fingerprint;

    /// <param name="authorization">Value of the client's Authorization header.</param>
    public CallerCredential(string authorization)
        : this(authorization, SecretFingerprint.Of(authorization))
    {
    }

    private CallerCredential(string? authorization, UInt128 fingerprint)
    {
        Authorization = authorization;
        _fingerprint = fingerprint;
    }

    /// <summary>Of a client that brought nothing: the registry is asked with nothing, not with what this node could have.</summary>
    public static CallerCredential None { get; } = new(null, UInt128.Zero);

    /// <summary>For the registry alone; null when there is none.</summary>
    public string? Authorization { get; }

    /// <summary>It is a password (RFC 7617): only for a registry that has asked for one.</summary>
    public bool IsPassword => Authorization?.StartsWith("Basic ", StringComparison.OrdinalIgnoreCase) ?? false;

    /// <summary>The same without the secret: good for comparing, not for asking.</summary>
    public CallerCredential Forgotten => Authorization is null ? this : new CallerCredential(null, _fingerprint);

    public bool Equals(CallerCredential? other) => other is not null && _fingerprint == other._fingerprint;

    public override bool Equals(object? obj) => Equals(obj as CallerCredential);

    public override int GetHashCode() => _fingerprint.GetHashCode();

    public override string ToString() => _fingerprint == UInt128.Zero ? "nothing" : "a credential";
}
