using Peerd.Node.Origin;
using Peerd.Node.Swarm;

namespace Peerd.Node.Content;

/// <summary>
/// The clients of one stream that its download knows of. Each new signature of a URL is one more, and none says that it goes:
/// those that were here last stay. Not thread-safe; the stream's lock protects it.
/// </summary>
internal sealed class StreamClients
{
    /// <summary>Who was here last comes last.</summary>
    private readonly List<OriginReference> _all = [];

    public int Count => _all.Count;

    /// <summary>A client comes, again or for the first time; false when the download is over. Each counts once, besides the one that the use is of.</summary>
    public bool TryAdd(Download download, OriginReference origin)
    {
        var isFirst = !_all.Remove(origin);
        if (_all.Count >= ClientOrigins.Max)
        {
            // Of signatures any other will do; a client's own credential is needed by that client.
            var oldest = Math.Max(0, _all.FindIndex(static client => !client.IsPrivate));
            download.RemoveClient(_all[oldest]);
            _all.RemoveAt(oldest);
        }

        if (!download.TryAddClient(origin, isWhole: false, isCounted: isFirst))
        {
            return false;
        }

        _all.Add(origin);
        return true;
    }

    /// <summary>All of them go.</summary>
    public void Leave(Download? download)
    {
        _all.ForEach(client => download?.RemoveClient(client));
        _all.Clear();
    }
}
