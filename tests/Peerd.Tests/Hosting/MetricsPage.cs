namespace Peerd.Tests.Hosting;

/// <summary>What Prometheus reads from a node, and what the documents say of it.</summary>
internal static class MetricsPage
{
    /// <summary>Names, types and labels of the metrics on a page, as <c>name type label,label</c> each; the labels that every series has left out.</summary>
    public static HashSet<string> Exported(params IEnumerable<string> pages)
    {
        var types = new SortedDictionary<string, string>(StringComparer.Ordinal);
        var labels = new Dictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (var line in pages.SelectMany(page => page.Split('\n')))
        {
            if (line.StartsWith("# TYPE ", StringComparison.Ordinal))
            {
                var words = line.Split(' ');
                types[words[2]] = words[3];
            }
            else if (line.Length > 0 && line[0] != '#')
            {
                var name = line[..line.IndexOfAny(['{', ' '])];
                var metric = types.ContainsKey(name) ? name : name[..name.LastIndexOf('_')];
                labels.TryAdd(metric, new(StringComparer.Ordinal));
                labels[metric].UnionWith(LabelsOf(line).Where(label => label is not ("le" or "otel_scope_name")));
            }
        }

        return [.. types.Select(type => $"{type.Key} {type.Value} {string.Join(',', labels.GetValueOrDefault(type.Key) ?? [])}".TrimEnd())];
    }

    /// <summary>The same from the tables of a document.</summary>
    public static HashSet<string> Documented(string text) =>
    [
        .. text.Split('\n').Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Split('|', StringSplitOptions.TrimEntries))
            .Select(cells => $"{cells[1].Trim('`')} {cells[2]} {string.Join(',', cells[4].Split(", ").Select(label => label.Trim('`')).Order(StringComparer.Ordinal))}".TrimEnd()),
    ];

    // {a="…",b="…"}: no value here has a quotation mark or a brace in it.
    private static IEnumerable<string> LabelsOf(string line) =>
        line.Contains('{', StringComparison.Ordinal)
            ? line[(line.IndexOf('{', StringComparison.Ordinal) + 1)..line.LastIndexOf('}')].Split("\",").Select(label => label.Split('=')[0])
            : [];
}
