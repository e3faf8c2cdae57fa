using System.Net;
using BitFaster.Caching.Lru;
using Microsoft.Extensions.Options;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// Whether a client may have what is here already. In the mode <c>upstream</c> the origin says so, for the very thing that is
/// asked for and with what the client brought; what it allowed counts for a while. Thread-safe.
/// </summary>
internal sealed class AccessCheck(IOrigin origin, IOptions<FacadeOptions> options, FacadeMetrics metrics, TimeProvider time)
{
    /// <summary>More push out those that were not asked for lately.</summary>
    private const int MaxAllowed = 16 * 1024;

    private readonly ConcurrentLru<UInt128, long> _allowed = new(MaxAllowed);
    private readonly TimeSpan _lifetime = options.Value.AccessLifetimeValue;
    private readonly TimeSpan _knownFor = options.Value.KnowsWhenDown ? options.Value.AccessKnownForValue : TimeSpan.Zero;

    /// <summary>False: whoever reaches this node may have what it serves.</summary>
    public bool IsOn { get; } = options.Value.AsksUpstream;

    /// <summary>Why the client may not have it; null when it may.</summary>
    /// <param name="reference">What the client asks for, with what it brought, be it nothing.</param>
    /// <param name="cancellationToken">Ends the question to the origin.</param>
    public async Task<OriginResponse?> RefusalAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        if (!IsOn)
        {
            return null;
        }

        // The reference holds secrets; its fingerprint does not.
        var key = KeyOf(reference);
        if (IsAllowed(key, _lifetime))
        {
            metrics.AccessChecked("remembered");
            return null;
        }

        await using var answer = await origin.StatAsync(reference, cancellationToken);
        if (answer.Outcome == OriginOutcome.Ok)
        {
            _allowed.AddOrUpdate(key, time.GetTimestamp());
            metrics.AccessChecked("allowed");
            return null;
        }

        if (!IsDown(answer))
        {
            _allowed.TryRemove(key);
            metrics.AccessChecked("refused");
            return answer;
        }

        var isKnown = IsAllowed(key, _knownFor);
        metrics.AccessChecked(isKnown ? "known" : "unavailable");
        return isKnown ? null : answer;
    }

    private static bool IsDown(OriginResponse answer) =>
        answer.Outcome == OriginOutcome.Unreachable || (int)answer.Status >= 500 || answer.Status is HttpStatusCode.TooManyRequests or HttpStatusCode.RequestTimeout;

    private static UInt128 KeyOf(OriginReference reference) => reference.Given is { } given
        ? SecretFingerprint.Of(given.Url.OriginalString, given.Authorization)
        : SecretFingerprint.Of(reference.Registry, reference.Repository, reference.Kind.ToString(), reference.Reference, reference.Credential?.Authorization);

    private bool IsAllowed(UInt128 key, TimeSpan lifetime) => _allowed.TryGet(key, out var since) && time.GetElapsedTime(since) < lifetime;
}
