using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>How fast one body of the origin may be read.</summary>
/// <param name="Rate">What all of them share.</param>
/// <param name="Urgency">Who goes first.</param>
/// <param name="Content">Whose bytes they are; default when nobody knows.</param>
internal sealed record OriginPace(ByteRate Rate, Urgency Urgency, Digest Content)
{
    /// <summary>So much is asked for at once: what comes in one piece, as a rule.</summary>
    public const int MostAtOnce = 64 * 1024;
}
