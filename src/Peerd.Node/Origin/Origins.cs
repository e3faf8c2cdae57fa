using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>All that is upstream: registries, and the stores whose URLs clients give.</summary>
internal sealed class Origins(RegistryOrigin registries, BlobStores stores) : IOrigin
{
    public bool Serves(string registry) => registries.Serves(registry);

    public bool Relays(string registry) => registries.Relays(registry);

    public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken) =>
        reference.Given is null ? registries.ReadAsync(reference, range, cancellationToken) : stores.ReadAsync(reference, range, cancellationToken);

    public Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken) =>
        reference.Given is null ? registries.StatAsync(reference, cancellationToken) : stores.StatAsync(reference, cancellationToken);
}
