using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>A set of digests that one consumer drains; bounded by the number of contents.</summary>
internal sealed class ContentChanges
{
    public void Add(Digest digest) => throw new NotImplementedException();

    /// <summary>Completes when the set is not empty.</summary>
    public ValueTask WaitAsync(CancellationToken cancellationToken) => throw new NotImplementedException();

    /// <summary>The digests so far; the set is empty afterwards.</summary>
    public IReadOnlyCollection<Digest> Drain() => throw new NotImplementedException();
}
