using Peerd.Node.Mesh;

namespace Peerd.Node.Hosting.Events;

/// <summary>
/// Whether this node reaches any other. A stream that is open anyway says so; a node that has nothing to tell has none, and
/// asks a few of the others now and then. Used by one caller at a time.
/// </summary>
internal sealed class MeshReach(PeerConnections peers, TimeProvider time)
{
    /// <summary>So many members are asked at one time: that none of them answers is not by chance.</summary>
    private const int Asked = 8;

    private static readonly TimeSpan AnswerTime = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan WhenReached = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan WhenNot = TimeSpan.FromSeconds(3);

    private readonly Random _random = new(Environment.ProcessId);
    private bool? _isReaching;
    private long _askedAt;

    /// <summary>True: one is reached. Null: nobody was asked yet.</summary>
    public async Task<bool?> LookAsync(CancellationToken cancellationToken)
    {
        if (peers.All.Any(peer => peer.IsConnected))
        {
            _askedAt = time.GetTimestamp();
            return _isReaching = true;
        }

        if (_isReaching is null || time.GetElapsedTime(_askedAt) > (_isReaching == true ? WhenReached : WhenNot))
        {
            var some = peers.All.ToArray();
            _random.Shuffle(some);
            var answers = await Task.WhenAll(some.Take(Asked).Select(peer => peer.AnswersAsync(AnswerTime, cancellationToken)));
            _isReaching = answers.Contains(true);
            _askedAt = time.GetTimestamp();
        }

        return _isReaching;
    }
}
