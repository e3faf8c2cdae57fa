using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Nodes;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>
/// The nodes of an API server with their history: lists whose parts show one moment, changes since a version, and versions that
/// are forgotten; as those see them who ask with a label selector, too. Kept as text: thousands of trees would take more memory than
/// what reads them. Thread-safe.
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
    private readonly List<Change> _changes = [];
    private readonly SortedList<int, ImmutableSortedDictionary<string, Kept>> _lists = [];
    private ImmutableSortedDictionary<string, Kept> _nodes = ImmutableSortedDictionary.Create<string, Kept>(StringComparer.Ordinal);
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
            var (former, kept) = (_nodes.GetValueOrDefault(name), NewestOf(node));
            _nodes = _nodes.SetItem(name, kept);
            Add(new Change(_version, kept.Text, former?.Labels, kept.Labels));
        }
    }

    /// <summary>A node goes; one that is not there does not.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            if (_nodes.TryGetValue(name, out var former))
            {
                _nodes = _nodes.Remove(name);
                var text = NewestOf(JsonNode.Parse(former.Text)!.AsObject()).Text;
                Add(new Change(_version, text, former.Labels, Now: null));
            }
        }
    }

    /// <summary>Tells all watches where they stand that want to know.</summary>
    public void Bookmark()
    {
        lock (_lock)
        {
            Say($"{BookmarkStart},\"object\":{{\"metadata\":{{\"resourceVersion\":\"{_version + 1}\"}}}}}}");
        }
    }

    /// <summary>Sends a line to all watches.</summary>
    public void Say(string line)
    {
        lock (_lock)
        {
            Add(new Change(++_version, line, Before: null, Now: null));
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

    /// <summary>Each part of a list is the first one, and says that there are more.</summary>
    public bool ListsWithoutEnd { get; set; }

    /// <summary>One part of the list, all parts of one moment; null when that is forgotten.</summary>
    /// <param name="limit">Most nodes of the part.</param>
    /// <param name="rest">What the former part said about the rest; empty for the first part.</param>
    /// <param name="selector">Only these.</param>
    public string? List(int limit, string rest, FakeSelector selector)
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

            var left = nodes.SkipWhile(pair => string.CompareOrdinal(pair.Key, after) <= 0).Where(pair => selector.Matches(pair.Value.Labels)).Take(limit + 1).ToList();
            var part = left.Take(limit).ToList();
            var isLast = left.Count == part.Count;
            var next = ListsWithoutEnd ? $"{version}:" : isLast ? string.Empty : $"{version}:{part[^1].Key}";
            return $$$"""{"kind":"NodeList","apiVersion":"v1","metadata":{"resourceVersion":"{{{version}}}","continue":"{{{next}}}"},"items":[{{{string.Join(',', part.Select(pair => pair.Value.Text))}}}]}""";
        }
    }

    /// <summary>What has changed since a version, and what ends when there is more; null when that is forgotten.</summary>
    /// <param name="version">Of the last change that is known.</param>
    /// <param name="selector">Of these only: a node that leaves them is gone.</param>
    public (IReadOnlyList<(int Version, string Line)> Changes, Task More)? Since(int version, FakeSelector selector)
    {
        lock (_lock)
        {
            if (version < _oldest)
            {
                return null;
            }

            var changes = _changes[(_changes.FindLastIndex(change => change.Version <= version) + 1)..];
            return ([.. changes.Select(change => (change.Version, change.LineFor(selector))).Where(change => change.Item2 is not null)!], _changed.Task);
        }
    }

    // The node as it is kept.
    private Kept NewestOf(JsonObject node)
    {
        node["metadata"]!["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
        var labels = node["metadata"]!["labels"]?.AsObject().ToDictionary(label => label.Key, label => label.Value!.GetValue<string>());
        return new Kept(node.ToJsonString(), labels ?? []);
    }

    private void Add(Change change)
    {
        _changes.Add(change);
        if (_changes.Count > 2 * KeptChanges)
        {
            _oldest = _changes[KeptChanges - 1].Version;
            _changes.RemoveRange(0, KeptChanges);
        }

        _changed.SetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed record Kept(string Text, IReadOnlyDictionary<string, string> Labels);

    /// <summary>A change of a node.</summary>
    /// <param name="Version">The version with it.</param>
    /// <param name="Text">The node; a line for everybody where it had no labels and has none.</param>
    /// <param name="Before">Its labels before; null when it was not there.</param>
    /// <param name="Now">Its labels now; null when it is not there.</param>
    private sealed record Change(int Version, string Text, IReadOnlyDictionary<string, string>? Before, IReadOnlyDictionary<string, string>? Now)
    {
        /// <summary>How it is told who asks for these nodes only; null when it is not.</summary>
        public string? LineFor(FakeSelector selector) => (WasSeen(selector), IsSeen(selector)) switch
        {
            _ when Before is null && Now is null => Text,
            (false, false) => null,
            (false, true) => $$"""{"type":"ADDED","object":{{Text}}}""",
            (true, true) => $$"""{"type":"MODIFIED","object":{{Text}}}""",
            (true, false) => $$"""{"type":"DELETED","object":{{Text}}}""",
        };

        private bool WasSeen(FakeSelector selector) => Before is not null && selector.Matches(Before);

        private bool IsSeen(FakeSelector selector) => Now is not null && selector.Matches(Now);
    }
}
