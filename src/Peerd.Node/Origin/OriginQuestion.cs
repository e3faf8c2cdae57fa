using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>One question to a registry.</summary>
/// <param name="Registry">Whom.</param>
/// <param name="Reference">For what.</param>
/// <param name="Url">Where the registry has it.</param>
/// <param name="Method">GET or HEAD.</param>
/// <param name="Range">Bytes; null for all.</param>
internal sealed record OriginQuestion(RegistryState Registry, OriginReference Reference, Uri Url, HttpMethod Method, ByteRange? Range)
{
    public OriginKind Kind => Reference.Kind;
}
