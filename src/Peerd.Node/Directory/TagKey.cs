using System.Text;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Directory;

/// <summary>Names a tag.</summary>
/// <param name="Registry">The registry, as in <c>ns</c>.</param>
/// <param name="Repository">Name of the repository.</param>
/// <param name="Tag">The tag.</param>
internal readonly record struct TagKey(string Registry, string Repository, string Tag)
{
    /// <summary>Where it is on the ring, as if it were a content.</summary>
    public Digest Place => Digest.OfSha256(Encoding.UTF8.GetBytes(ToString()));

    /// <summary>False when a name does not follow the grammar.</summary>
    public static bool TryCreate(string registry, string repository, string tag, out TagKey key)
    {
        key = new TagKey(registry, repository, tag);
        return RegistryName.IsValid(registry) && RegistryName.IsRepository(repository) && RegistryName.IsTag(tag);
    }

    public override string ToString() => $"{Registry}/{Repository}:{Tag}";
}

/// <summary>Where a tag pointed, or that there was no such tag.</summary>
/// <param name="Digest">Digest of the manifest; empty when the registry said that there is no such tag.</param>
/// <param name="MediaType">Its media type; empty when unknown.</param>
/// <param name="Size">Its size; 0 when unknown.</param>
/// <param name="ResolvedAt">When the registry said so, on this node's clock of <see cref="TagDirectory.Now"/>.</param>
internal sealed record TagTarget(Digest Digest, string MediaType, long Size, TimeSpan ResolvedAt)
{
    /// <summary>The registry said that there is no such tag.</summary>
    public bool IsGone => Digest.IsEmpty;
}
