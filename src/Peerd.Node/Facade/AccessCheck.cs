using BitFaster.Caching.Lru;
using Microsoft.Extensions.Options;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// Whether a client may have what is here already. In the mode <c>upstream</c> the origin says so, for the very thing that is
/// asked for and with what the client brought; what it said counts for a while. Thread-safe.
/// </summary>
internal sealed class AccessCheck(IOrigin origin, IOptions<FacadeOptions> options, FacadeMetrics metrics, TimeProvider time)
{
    /// <summary>More push out those that were not asked for lately.</summary>
    private const int MaxRemembered = 16 * 1024;

    /// <summary>An origin that says nothing for this long is taken for one that cannot be asked.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    /// <summary>One that could not be asked is not asked again so soon, and who was refused need not ask again so soon.</summary>
    private static readonly TimeSpan Moment = TimeSpan.FromSeconds(2);

    // By fingerprints: the questions hold secrets.
    private readonly ConcurrentLru<UInt128, long> _allowed = new(MaxRemembered);
    private readonly ConcurrentLru<UInt128, (OriginResponse Answer, long Since)> _refused = new(MaxRemembered);
    private readonly ConcurrentLru<UInt128, long> _unanswered = new(MaxRemembered);
    private readonly ConcurrentLru<string, long> _down = new(1024);
    private readonly TimeSpan _lifetime = options.Value.AccessLifetimeValue;
    private readonly TimeSpan _knownFor = options.Value.KnowsWhenDown ? options.Value.AccessKnownForValue : TimeSpan.Zero;

    /// <summary>False: whoever reaches this node may have what it serves.</summary>
    public bool IsOn { get; } = options.Value.AsksUpstream;

    /// <summary>What the origin answered to a client that may not have it; null when it may.</summary>
    /// <param name="reference">What the client asks for, with what it brought, be it nothing.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async Task<OriginResponse?> RefusalAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        if (!IsOn)
        {
            return null;
        }

        var key = KeyOf(reference);
        if (IsWithin(_allowed, key, _lifetime))
        {
            metrics.AccessChecked("remembered");
            return null;
        }

        if (_refused.TryGet(key, out var before) && time.GetElapsedTime(before.Since) < Moment)
        {
            metrics.AccessChecked("refused");
            return before.Answer;
        }

        var answer = await AskAsync(reference, key, cancellationToken);
        if (answer is { Outcome: OriginOutcome.Ok })
        {
            _allowed.AddOrUpdate(key, time.GetTimestamp());
            metrics.AccessChecked("allowed");
            return null;
        }

        if (!answer.IsDown)
        {
            _allowed.TryRemove(key);
            _refused.AddOrUpdate(key, (answer, time.GetTimestamp()));
            metrics.AccessChecked("refused");
            return answer;
        }

        if (answer is { IsOwnWord: false } && (answer.Outcome == OriginOutcome.Unreachable || (int)answer.Status >= 500))
        {
            // For all. What one caller met, a queue or a limit of its own, says nothing of others.
            _down.AddOrUpdate(reference.Registry, time.GetTimestamp());
        }

        var isKnown = IsWithin(_allowed, key, _knownFor);
        metrics.AccessChecked(isKnown ? "known" : "unavailable");
        return isKnown ? null : answer;
    }

    private static UInt128 KeyOf(OriginReference reference) => reference.Given is { } given
        ? SecretFingerprint.Of(given.Url.OriginalString, given.Authorization)
        : SecretFingerprint.Of(reference.Registry, reference.Repository, reference.Kind.ToString(), reference.Reference, reference.Credential?.Authorization);

    private async Task<OriginResponse> AskAsync(OriginReference reference, UInt128 key, CancellationToken cancellationToken)
    {
        if (IsWithin(_down, reference.Registry, Moment) || IsWithin(_unanswered, key, Moment))
        {
            return Unasked($"{reference.Registry} could not be asked a moment ago");
        }

        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            await using var answer = await origin.StatAsync(reference with { IsUrgent = true }, either.Token);
            return answer;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            _unanswered.AddOrUpdate(key, time.GetTimestamp());
            return Unasked($"{reference.Registry} did not answer in time");
        }
    }

    private static OriginResponse Unasked(string error) => new() { Outcome = OriginOutcome.Unreachable, Error = error, IsOwnWord = true };

    private bool IsWithin<T>(ConcurrentLru<T, long> memory, T key, TimeSpan lifetime)
        where T : notnull => memory.TryGet(key, out var since) && time.GetElapsedTime(since) < lifetime;
}
