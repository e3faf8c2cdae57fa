using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>How fast one body of the origin may be read.</summary>
/// <param name="Rate">What all of them share.</param>
/// <param name="Urgency">Who goes first, as it is for what is read next.</param>
/// <param name="Content">Whose bytes they are; default when nobody knows.</param>
internal sealed record OriginPace(ByteRate Rate, Func<Urgency> Urgency, Digest Content)
{
    /// <summary>So much is asked for at once: what comes in one piece, as a rule.</summary>
    public const int MostAtOnce = 64 * 1024;

    /// <summary>Completes when so many bytes may be read.</summary>
    public Task TakeAsync(int bytes, CancellationToken cancellationToken)
    {
        var urgency = Urgency();
        var taking = Rate.TakeAsync(bytes, urgency, Content, cancellationToken);
        if (!taking.IsCompleted && urgency == Limits.Urgency.Ahead && Urgency() != urgency)
        {
            // A container began to wait for it just before this did.
            Rate.Hasten(Content);
        }

        return taking;
    }
}
