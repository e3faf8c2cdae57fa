namespace Peerd.Node.Origin;

/// <summary>
/// An absolute URL that a client brought, with what it must be asked with. It stays on this node, is used for what
/// clients of this node read of that content, with an authorization only for what that client reads, and is shown as
/// <see cref="OriginUrl.Redact"/> does only: it may hold a signature. Immutable but for the memory of where it led; two are the same when they ask
/// the same thing with the same credentials.
/// </summary>
/// <param name="url">The URL, checked by <see cref="OriginUrl"/>; sent byte by byte as it came.</param>
/// <param name="authorization">Value of the client's Authorization header; null when it sent none.</param>
internal sealed class GivenUrl(Uri url, string? authorization) : IEquatable<GivenUrl>
{
    private Redirect? _redirect;

    public Uri Url => url;

    /// <summary>For the host of <see cref="Url"/> alone.</summary>
    public string? Authorization => authorization;

    /// <summary>Where the host sent this request a moment ago; null when it did not.</summary>
    public Redirect? Redirected
    {
        get => Volatile.Read(ref _redirect);
        set => Volatile.Write(ref _redirect, value);
    }

    public bool Equals(GivenUrl? other) =>
        other is not null && url.OriginalString == other.Url.OriginalString && authorization == other.Authorization;

    public override bool Equals(object? obj) => Equals(obj as GivenUrl);

    public override int GetHashCode() => HashCode.Combine(url.OriginalString, authorization);

    public override string ToString() => OriginUrl.Redact(url);

    /// <param name="Target">The URL that had the content.</param>
    /// <param name="Since">When, as a timestamp of the clock.</param>
    internal sealed record Redirect(Uri Target, long Since);
}
