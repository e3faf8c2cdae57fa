using Peerd.Node.Mesh;

namespace Peerd.Node.Hosting.Events;

/// <summary>Whether a node reaches others.</summary>
/// <param name="IsReaching">One of them serves; null: nobody was asked yet.</param>
/// <param name="AskedInVain">How many different members were asked since one of them was reached.</param>
internal readonly record struct Reach(bool? IsReaching, int AskedInVain);

/// <summary>
/// Whether this node reaches any other. A stream that is open anyway says so; a node that has nothing to tell has none, and
/// asks some of the others now and then: others each time, until one serves. Used by one caller at a time.
/// </summary>
/// <param name="peers">The other members.</param>
/// <param name="random">Of its own for each node: not all of them are to ask the same ones.</param>
/// <param name="time">The clock.</param>
internal sealed class MeshReach(PeerConnections peers, Random random, TimeProvider time)
{
    /// <summary>So many members are asked at one time.</summary>
    public const int AtOneTime = 16;

    /// <summary>So many while one was reached: each may cost a connection, and one that serves is enough.</summary>
    public const int AtFirst = 2;

    /// <summary>While one was reached, they are asked so often.</summary>
    public static readonly TimeSpan WhenReached = TimeSpan.FromSeconds(30);

    /// <summary>While none was.</summary>
    public static readonly TimeSpan WhenNot = TimeSpan.FromSeconds(3);

    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(2);

    private readonly HashSet<string> _inVain = new(StringComparer.Ordinal);
    private bool? _isReaching;
    private bool _hadStream;
    private long _askedAt;

    /// <summary>How it is now; asks when the last answers are too old.</summary>
    public async Task<Reach> LookAsync(CancellationToken cancellationToken)
    {
        var all = peers.All.ToArray();
        if (Array.Exists(all, peer => peer.IsConnected))
        {
            _hadStream = true;
            Note(isReaching: true);
        }
        else if (all.Length > 0 && (_hadStream || _isReaching is null || time.GetElapsedTime(_askedAt) >= (_isReaching == true ? WhenReached : WhenNot)))
        {
            // A stream that has ended tells nothing of the others.
            _hadStream = false;
            await AskAsync(all, cancellationToken);
        }

        return new Reach(_isReaching, _inVain.Count);
    }

    private async Task AskAsync(Peer[] all, CancellationToken cancellationToken)
    {
        var wasReaching = _isReaching == true;
        await AskAsync(all, wasReaching ? AtFirst : AtOneTime, cancellationToken);
        if (wasReaching && _isReaching == false && _inVain.Count < all.Length)
        {
            await AskAsync(all, AtOneTime, cancellationToken);
        }
    }

    private async Task AskAsync(Peer[] all, int most, CancellationToken cancellationToken)
    {
        random.Shuffle(all);
        var some = all.OrderBy(peer => _inVain.Contains(peer.Member.Name)).Take(most).ToArray();
        var answers = await Task.WhenAll(some.Select(peer => peer.ServesAsync(AnswerTime, cancellationToken)));
        Note(answers.Contains(true));
        if (_isReaching == false)
        {
            _inVain.UnionWith(some.Select(peer => peer.Member.Name));
            _inVain.IntersectWith(all.Select(peer => peer.Member.Name));
        }
    }

    private void Note(bool isReaching)
    {
        _isReaching = isReaching;
        _askedAt = time.GetTimestamp();
        if (isReaching)
        {
            _inVain.Clear();
        }
    }
}
