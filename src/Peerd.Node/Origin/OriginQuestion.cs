using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>One question to a registry.</summary>
/// <param name="Registry">Whom.</param>
/// <param name="Reference">For what.</param>
/// <param name="Url">Where the registry has it.</param>
/// <param name="Method">GET or HEAD.</param>
/// <param name="Range">Bytes; null for all.</param>
/// <param name="IsCheck">The registry itself is to answer, not the store that it led to a moment ago; no bytes are wanted.</param>
internal sealed record OriginQuestion(RegistryState Registry, OriginReference Reference, Uri Url, HttpMethod Method, ByteRange? Range, bool IsCheck)
{
    public OriginKind Kind => Reference.Kind;
}
