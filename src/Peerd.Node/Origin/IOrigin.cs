using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>The registries upstream.</summary>
internal interface IOrigin
{
    /// <summary>True when this registry is configured; all others are refused without a connection.</summary>
    bool Serves(string registry);

    /// <summary>True when this registry is read with the credentials of clients: <see cref="OriginReference.Credential"/> is to be filled in.</summary>
    bool Relays(string registry);

    /// <summary>
    /// Reads a content, or a closed range of it. Never throws for what the network or the origin does:
    /// that is in <see cref="OriginResponse.Outcome"/>.
    /// </summary>
    /// <param name="reference">What to read.</param>
    /// <param name="range">Bytes to read; null for all. May reach past the end: the answer's range is clipped.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken);

    /// <summary>
    /// Asks for size, media type and digest without the bytes: HEAD, and where the origin does not answer that properly
    /// (405, or no digest for a manifest) the GET of a manifest, whose digest is then computed. The body is empty.
    /// </summary>
    Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken);
}
