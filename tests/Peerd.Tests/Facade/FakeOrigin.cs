using System.Collections.Concurrent;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

/// <summary>Registries in memory: which are configured, and where their tags point.</summary>
internal sealed class FakeOrigin : IOrigin
{
    private readonly ConcurrentDictionary<OriginReference, OriginResponse> _tags = new();

    public HashSet<string> Served { get; } = new(StringComparer.Ordinal) { "reg.test", "docker.io", "quay.io:8443" };

    /// <summary>Everything that would have made a connection.</summary>
    public ConcurrentQueue<OriginReference> Asked { get; } = new();

    public bool Serves(string registry) => Served.Contains(registry);

    public bool Relays(string registry) => false;

    public void Tag(string registry, string repository, string tag, OriginResponse response) =>
        _tags[new OriginReference(registry, repository, OriginKind.Manifest, tag)] = response;

    public void Tag(string tag, Digest digest, long? size, string? mediaType) =>
        Tag("reg.test", "team/app", tag, new OriginResponse { Outcome = OriginOutcome.Ok, Status = HttpStatusCode.OK, ContentDigest = digest, TotalSize = size, MediaType = mediaType });

    public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken) =>
        throw new NotSupportedException("the facade reads through the read path only");

    public Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        Asked.Enqueue(reference);
        return Task.FromResult(_tags.GetValueOrDefault(reference) ?? new OriginResponse { Outcome = OriginOutcome.Refused, Status = HttpStatusCode.NotFound });
    }
}
