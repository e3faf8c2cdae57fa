using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Node.Directory;

/// <summary>Contents that were here as a whole and did not match their digest: those who coordinate them are told. Thread-safe.</summary>
internal sealed class ContentMismatches
{
    /// <summary>Those that have not been told of yet; read by one consumer.</summary>
    public ContentChanges Found { get; } = new();

    public void Add(Digest digest) => Found.Add(digest);
}

/// <summary>Drops what is here of a content in part, because another node has found wrong bytes of it.</summary>
internal interface IDiscardHandler
{
    void Discard(Digest content);
}
