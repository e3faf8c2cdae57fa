using System.Threading.Channels;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>A set of digests that one consumer drains; bounded by the number of contents. Add from any thread.</summary>
internal sealed class ContentChanges
{
    private readonly Lock _lock = new();

    // One token is enough: whoever takes it looks at the set, and each addition leaves a token behind it.
    private readonly Channel<bool> _signal = Channel.CreateBounded<bool>(new BoundedChannelOptions(1)
    {
        FullMode = BoundedChannelFullMode.DropWrite,
    });

    private HashSet<Digest> _digests = [];

    public void Add(Digest digest)
    {
        lock (_lock)
        {
            _digests.Add(digest);
        }

        _signal.Writer.TryWrite(item: true);
    }

    /// <summary>Completes when the set is not empty.</summary>
    public async ValueTask WaitAsync(CancellationToken cancellationToken)
    {
        while (IsEmpty)
        {
            await _signal.Reader.ReadAsync(cancellationToken);
        }
    }

    /// <summary>The digests so far; the set is empty afterwards.</summary>
    public IReadOnlyCollection<Digest> Drain()
    {
        lock (_lock)
        {
            if (_digests.Count == 0)
            {
                return [];
            }

            var drained = _digests;
            _digests = [];
            return drained;
        }
    }

    private bool IsEmpty
    {
        get
        {
            lock (_lock)
            {
                return _digests.Count == 0;
            }
        }
    }
}
