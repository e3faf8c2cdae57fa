using Peerd.Node.Mesh;

namespace Peerd.Simulation.Requesters;

/// <summary>The ranges of one content that a node serves to others at the moment.</summary>
internal sealed class Uploads
{
    private readonly List<RangeRead> _ranges = [];

    /// <summary>Takes a range to serve; false when as many are served as may be.</summary>
    public bool TryAdd(RangeRead range)
    {
        if (_ranges.Count >= RangeServer.UploadsPerContent)
        {
            return false;
        }

        _ranges.Add(range);
        return true;
    }

    public void Remove(RangeRead range) => _ranges.Remove(range);

    /// <summary>A frame has come that some of them may wait for.</summary>
    public void FrameHere(int frame)
    {
        // From behind: what is sent now may be the last of its range, which leaves the list then.
        for (var i = _ranges.Count - 1; i >= 0; i--)
        {
            if (i < _ranges.Count)
            {
                _ranges[i].FrameHere(frame);
            }
        }
    }

    public void TellWaiting() => _ranges.ForEach(static range => range.TellWaiting());

    /// <summary>The node is dead.</summary>
    public void Break()
    {
        foreach (var range in _ranges.ToArray())
        {
            range.Break();
        }
    }
}
