using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Swarm;

/// <summary>
/// Tells which ranges are too slow, by what is usual for this content on this node, and keeps to a budget: a range that
/// is moved loses a little of what is on its way. A peer that no other was asked besides is compared with the origin.
/// Not thread-safe.
/// </summary>
/// <param name="layout">Of the content.</param>
/// <param name="policy">Constants.</param>
/// <param name="begun">The time when it begins to look.</param>
internal sealed class SlownessJudge(ContentLayout layout, DownloaderPolicy policy, TimeSpan begun)
{
    private const double WeightOfNews = 0.2;

    // What is unknown is not judged quickly.
    private static readonly TimeSpan FirstPatience = TimeSpan.FromSeconds(2);

    // When nobody looked for longer, it was not the sources that stood still.
    private static readonly TimeSpan LongestTick = TimeSpan.FromMilliseconds(100);

    private readonly SourceRate _origin = new();
    private readonly SourceRate _onlyPeer = new();
    private TimeSpan? _usual;
    private TimeSpan _lastTick = begun;
    private string? _firstPeer;
    private bool _hasOtherPeers;
    private bool _isOnlyPeerSlow;
    private int _began;

    /// <summary>Ranges that were found slow and are moved.</summary>
    public int Moved { get; private set; }

    /// <summary>Ranges that were found slow, with the budget spent.</summary>
    public int Refused { get; private set; }

    /// <summary>A range was asked of a peer.</summary>
    public void Began(string peer)
    {
        _began++;
        _firstPeer ??= peer;
        _hasOtherPeers |= peer != _firstPeer;
    }

    /// <summary>A frame of the range has come.</summary>
    public void Arrived(PieceRequest request) => (request.Node is null ? _origin : _onlyPeer).Arrived();

    /// <summary>Time passes: to be told before ranges are judged.</summary>
    /// <param name="requests">All that are under way.</param>
    /// <param name="now">The time.</param>
    public void Tick(IReadOnlyCollection<PieceRequest> requests, TimeSpan now)
    {
        var passed = now - _lastTick < LongestTick ? now - _lastTick : LongestTick;
        var unseen = now - _lastTick - passed;
        _lastTick = now;
        if (unseen > TimeSpan.Zero)
        {
            foreach (var request in requests)
            {
                Excuse(request, unseen, now);
            }
        }

        _isOnlyPeerSlow = false;
        if (_hasOtherPeers || !policy.ComparesOnlyPeer)
        {
            return;
        }

        if (requests.Any(request => request.Node is null))
        {
            _origin.Passed(passed);
        }

        if (requests.Any(request => request is { Node: not null, IsWaiting: false }))
        {
            _onlyPeer.Passed(passed);
        }

        if (_onlyPeer.Busy >= policy.StallPatience)
        {
            _isOnlyPeerSlow = _onlyPeer.PerSecond * policy.SlowFactorOfOnlyPeer < _origin.PerSecond;
            _onlyPeer.Forget();
            _origin.Fade();
        }
    }

    /// <summary>A range has come to its end.</summary>
    public void Ended(PieceRequest request, TimeSpan now)
    {
        var perPiece = (now - request.Started - request.Held) / request.Count;
        _usual = _usual is { } usual ? usual + ((perPiece - usual) * WeightOfNews) : perPiece;
    }

    /// <summary>Why the range should be given up; null when it should not.</summary>
    public FetchFailure? Judge(PieceRequest request, TimeSpan now)
    {
        var silent = now - request.LastBytes - request.Unseen.SinceLastBytes;
        var expected = _usual * request.Count;
        if (request.IsWaiting)
        {
            return silent > Longer(policy.StarvedPatience, 2 * (expected ?? TimeSpan.Zero)) ? FetchFailure.Starved : null;
        }

        if (_isOnlyPeerSlow)
        {
            // Once in a while, and not to another holder: no matter of the budget.
            return FetchFailure.Slow;
        }

        if (silent <= Longer(policy.StallPatience, expected ?? FirstPatience) && !IsSlow(request, expected, now))
        {
            return null;
        }

        if (Moved >= policy.LeastHedges + (policy.HedgeBudget * _began))
        {
            Refused += request.WasRefused ? 0 : 1;
            request.WasRefused = true;
            return null;
        }

        Moved++;
        return FetchFailure.Slow;
    }

    /// <summary>So much of the time is not the fault of the range's source: no longer than it has been under way, or nothing has come of it.</summary>
    public static void Excuse(PieceRequest request, TimeSpan unseen, TimeSpan now) => request.Unseen = (
        Shorter(request.Unseen.InAll + unseen, now - request.Started),
        Shorter(request.Unseen.SinceLastBytes + unseen, now - request.LastBytes));

    private bool IsSlow(PieceRequest request, TimeSpan? expected, TimeSpan now)
    {
        var age = now - request.Started - request.Unseen.InAll;
        // Short ranges vary a lot: what takes less than the patience is not worth moving.
        return expected is { } usual && age > Longer(policy.StallPatience, usual) && request.Frames > 0
            && age * ((double)request.Count * layout.FramesPerPiece / request.Frames) > policy.SlowFactor * usual;
    }

    private static TimeSpan Shorter(TimeSpan a, TimeSpan b) => a < b ? a : b;

    private static TimeSpan Longer(TimeSpan a, TimeSpan b) => a > b ? a : b;
}
