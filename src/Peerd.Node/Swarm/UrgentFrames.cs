using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// Frames of one content for which readers wait right now, and those of them that are fetched before all else. Not thread-safe; the
/// download's lock protects it.
/// </summary>
internal sealed class UrgentFrames
{
    private readonly HashSet<int> _fetching = [];

    /// <summary>Frames for which a reader waits.</summary>
    private readonly HashSet<int> _awaited = [];

    public bool IsFetching(int frame) => _fetching.Contains(frame);

    /// <summary>A reader waits for frames.</summary>
    /// <param name="first">First frame.</param>
    /// <param name="end">Frame behind the last.</param>
    /// <param name="content">What is here.</param>
    public void Await(int first, int end, CachedContent content)
    {
        _awaited.RemoveWhere(content.HasFrame);
        _awaited.UnionWith(Enumerable.Range(first, end - first));
    }

    /// <summary>A reader waits for some frame of these pieces.</summary>
    public bool IsAnyAwaited(int first, int count, CachedContent content)
    {
        var frames = content.Layout.FramesPerPiece;
        return _awaited.Any(frame => frame / frames >= first && frame / frames < first + count && !content.HasFrame(frame));
    }

    /// <summary>The first frames of one piece, within a range of frames, that are neither here nor being fetched; null when there are none.</summary>
    public (int First, int End)? NextMissing(int first, int end, CachedContent content)
    {
        while (first < end && !IsMissing(first))
        {
            first++;
        }

        if (first >= end)
        {
            return null;
        }

        var next = first + 1;
        while (next < end && next % content.Layout.FramesPerPiece != 0 && IsMissing(next))
        {
            next++;
        }

        return (first, next);

        bool IsMissing(int frame) => !content.HasFrame(frame) && !_fetching.Contains(frame);
    }

    public void Began(int first, int end) => _fetching.UnionWith(Enumerable.Range(first, end - first));

    public void Ended(int first, int end) => _fetching.ExceptWith(Enumerable.Range(first, end - first));
}
