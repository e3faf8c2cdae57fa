using System.Net;
using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Mesh;

/// <summary>
/// How many ranges may be served at the same moment: over all contents; of one content, so that a herd on one image leaves room for
/// others; and to one address, which is half of all, so that nobody takes all of them. Loopback addresses are of one machine with any
/// number of nodes, and count only in the others. No queue. Thread-safe.
/// </summary>
internal sealed class UploadSlots(int total, int perContent)
{
    private readonly Lock _lock = new();
    private readonly int _perAddress = Math.Max(1, total / 2);
    private readonly Dictionary<Digest, int> _byContent = [];
    private readonly Dictionary<IPAddress, int> _byAddress = [];
    private int _taken;

    /// <summary>Takes a slot; false when none is free. Release it when the range has ended.</summary>
    public bool TryTake(Digest content, IPAddress address)
    {
        lock (_lock)
        {
            address = CallerAddress.Plain(address);
            var ofContent = _byContent.GetValueOrDefault(content);
            var ofAddress = _byAddress.GetValueOrDefault(address);
            if (_taken == total || ofContent == perContent || (ofAddress >= _perAddress && !IPAddress.IsLoopback(address)))
            {
                return false;
            }

            _taken++;
            _byContent[content] = ofContent + 1;
            _byAddress[address] = ofAddress + 1;
            return true;
        }
    }

    public void Release(Digest content, IPAddress address)
    {
        lock (_lock)
        {
            _taken--;
            if (--_byContent[content] == 0)
            {
                _byContent.Remove(content);
            }

            address = CallerAddress.Plain(address);
            if (--_byAddress[address] == 0)
            {
                _byAddress.Remove(address);
            }
        }
    }
}
