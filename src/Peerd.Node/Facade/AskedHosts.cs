using System.Collections.Concurrent;

namespace Peerd.Node.Facade;

/// <summary>Hosts that clients asked for below <c>/blobs</c> and that do not get what others do, the first of them since the start. Thread-safe.</summary>
internal sealed class AskedHosts
{
    private const int Most = 256;

    private readonly ConcurrentDictionary<string, bool> _refused = new(StringComparer.OrdinalIgnoreCase);
    private readonly ConcurrentDictionary<string, bool> _unshared = new(StringComparer.OrdinalIgnoreCase);
    private readonly ConcurrentDictionary<string, bool> _unsharedUrls = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Hosts that are not on the list and not read from, by name.</summary>
    public IReadOnlyList<string> Refused => [.. _refused.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Hosts whose blobs are read for each client, and not shared, by name.</summary>
    public IReadOnlyList<string> Unshared => [.. _unshared.Keys.Order(StringComparer.Ordinal)];

    /// <summary>Hosts that have URLs of which that is true, though not of all, by name.</summary>
    public IReadOnlyList<string> UnsharedUrls => [.. _unsharedUrls.Keys.Order(StringComparer.Ordinal)];

    /// <summary>One is refused; true when that is news, and there is room to remember it.</summary>
    public bool NoteRefused(Uri url) => IsNews(_refused, url);

    /// <summary>What one has is not shared; true when that is news, and there is room to remember it.</summary>
    public bool NoteUnshared(Uri url) => IsNews(_unshared, url);

    /// <summary>What one has at this URL is not shared; true when that is news of the host, and there is room to remember it.</summary>
    public bool NoteUnsharedUrl(Uri url) => IsNews(_unsharedUrls, url);

    private static bool IsNews(ConcurrentDictionary<string, bool> hosts, Uri url) => !hosts.ContainsKey(url.Authority) && hosts.Count < Most && hosts.TryAdd(url.Authority, true);
}
