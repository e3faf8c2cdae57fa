using Peerd.Contracts;

namespace Peerd.Node.Mesh;

/// <summary>
/// How many ranges may be served at the same moment: over all contents, and of one content, so that a herd on one image
/// leaves room for others. No queue. Thread-safe.
/// </summary>
internal sealed class UploadSlots(int total, int perContent)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, int> _byContent = [];
    private int _taken;

    /// <summary>Takes a slot; false when none is free. Release it when the range has ended.</summary>
    public bool TryTake(Digest content)
    {
        lock (_lock)
        {
            var ofContent = _byContent.GetValueOrDefault(content);
            if (_taken == total || ofContent == perContent)
            {
                return false;
            }

            _taken++;
            _byContent[content] = ofContent + 1;
            return true;
        }
    }

    public void Release(Digest content)
    {
        lock (_lock)
        {
            _taken--;
            if (--_byContent[content] == 0)
            {
                _byContent.Remove(content);
            }
        }
    }
}
