using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>
/// The nodes of an API server with their history: lists whose parts show one moment, changes since a version, and versions that
/// are forgotten. Kept as text: thousands of trees would take more memory than what reads them. Thread-safe.
/// </summary>
internal sealed class FakeNodes
{
    /// <summary>How a line begins that tells a watch where it stands.</summary>
    public const string BookmarkStart = "{\"type\":\"BOOKMARK\"";

    /// <summary>So many changes are remembered at least; real servers have room for 100 to 100,000.</summary>
    private const int KeptChanges = 10_000;

    /// <summary>So many lists may be under way at one time.</summary>
    private const int KeptLists = 16;

    private readonly Lock _lock = new();
    private readonly List<(int Version, string Line)> _changes = [];
    private readonly SortedList<int, ImmutableSortedDictionary<string, string>> _lists = [];
    private ImmutableSortedDictionary<string, string> _nodes = ImmutableSortedDictionary.Create<string, string>(StringComparer.Ordinal);
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _version = 100;
    private int _oldest = 100;

    /// <summary>The newest version.</summary>
    public int Version
    {
        get
        {
            lock (_lock)
            {
                return _version;
            }
        }
    }

    /// <summary>A node comes, or changes. It is given the newest version; nothing else of the object is kept.</summary>
    public void Set(JsonObject node)
    {
        var name = node["metadata"]!["name"]!.GetValue<string>();
        lock (_lock)
        {
            var type = _nodes.ContainsKey(name) ? "MODIFIED" : "ADDED";
            _nodes = _nodes.SetItem(name, Tell(type, node));
        }
    }

    /// <summary>A node goes; one that is not there does not.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            if (_nodes.TryGetValue(name, out var node))
            {
                _nodes = _nodes.Remove(name);
                Tell("DELETED", JsonNode.Parse(node)!.AsObject());
            }
        }
    }

    /// <summary>Tells all watches where they stand that want to know.</summary>
    public void Bookmark()
    {
        lock (_lock)
        {
            Tell("BOOKMARK", new JsonObject { ["metadata"] = new JsonObject() });
        }
    }

    /// <summary>Sends a line to all watches.</summary>
    public void Say(string line)
    {
        lock (_lock)
        {
            Add(++_version, line);
        }
    }

    /// <summary>Forgets what was so far: who watches from then on, or asks for the next part of a list, is told so.</summary>
    public void Compact()
    {
        lock (_lock)
        {
            _oldest = ++_version;
            _changes.Clear();
            _lists.Clear();
        }
    }

    /// <summary>One part of the list, all parts of one moment; null when that is forgotten.</summary>
    /// <param name="limit">Most nodes of the part.</param>
    /// <param name="rest">What the former part said about the rest; empty for the first part.</param>
    public string? List(int limit, string rest)
    {
        lock (_lock)
        {
            var (version, after) = (_version, string.Empty);
            if (rest.Split(':', 2) is [var moment, var name])
            {
                (version, after) = (int.Parse(moment, CultureInfo.InvariantCulture), name);
            }
            else
            {
                _lists[version] = _nodes;
                if (_lists.Count > KeptLists)
                {
                    _lists.RemoveAt(0);
                }
            }

            if (!_lists.TryGetValue(version, out var nodes))
            {
                return null;
            }

            var part = nodes.SkipWhile(pair => string.CompareOrdinal(pair.Key, after) <= 0).Take(limit).ToList();
            var isLast = part.Count == 0 || part[^1].Key == nodes.Keys.Last();
            return $$$"""{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"{{{version}}}","continue":"{{{(isLast ? string.Empty : $"{version}:{part[^1].Key}")}}}"},"items":[{{{string.Join(',', part.Select(pair => pair.Value))}}}]}""";
        }
    }

    /// <summary>What has changed since a version, and what ends when there is more; null when that is forgotten.</summary>
    public (IReadOnlyList<(int Version, string Line)> Changes, Task More)? Since(int version)
    {
        lock (_lock)
        {
            return version < _oldest ? null : (_changes[(_changes.FindLastIndex(change => change.Version <= version) + 1)..], _changed.Task);
        }
    }

    // The node as it is kept.
    private string Tell(string type, JsonObject node)
    {
        node["metadata"]!["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
        var text = node.ToJsonString();
        Add(_version, $$"""{"type":"{{type}}","object":{{text}}}""");
        return text;
    }

    private void Add(int version, string line)
    {
        _changes.Add((version, line));
        if (_changes.Count > 2 * KeptChanges)
        {
            _oldest = _changes[KeptChanges - 1].Version;
            _changes.RemoveRange(0, KeptChanges);
        }

        _changed.SetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
