using System.Diagnostics.Metrics;

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
                labels[metric].UnionWith(PartsOf(line).Select(part => part.Split('=')[0]).Where(label => label is not ("le" or "otel_scope_name")));
            }
        }

        return [.. types.Select(type => $"{type.Key} {type.Value} {string.Join(',', labels.GetValueOrDefault(type.Key) ?? [])}".TrimEnd())];
    }

    /// <summary>Names of the metrics on pages that do not say what they mean.</summary>
    public static IEnumerable<string> WithoutHelp(params IEnumerable<string> pages)
    {
        var lines = pages.SelectMany(page => page.Split('\n')).ToList();
        var helped = lines.Where(line => line.StartsWith("# HELP ", StringComparison.Ordinal)).Select(line => line.Split(' ')).Where(words => words is [_, _, _, { Length: > 0 }, ..]).Select(words => words[2]).ToHashSet(StringComparer.Ordinal);
        return lines.Where(line => line.StartsWith("# TYPE ", StringComparison.Ordinal)).Select(line => line.Split(' ')[2]).Where(name => !helped.Contains(name)).Distinct(StringComparer.Ordinal);
    }

    /// <summary>What <see cref="Exported"/> tells, from the tables of a document.</summary>
    public static HashSet<string> Documented(string text) =>
        [.. Rows(text).Select(cells => $"{cells[1].Trim('`')} {cells[2]} {string.Join(',', cells[4].Split(", ").Select(label => label.Trim('`')).Order(StringComparer.Ordinal))}".TrimEnd())];

    /// <summary>Units in the tables of a document, by metric; empty for none.</summary>
    public static Dictionary<string, string> DocumentedUnits(string text) =>
        Rows(text).ToDictionary(cells => cells[1].Trim('`'), cells => cells[3], StringComparer.Ordinal);

    /// <summary>What the endpoint calls an instrument, and its unit as it is written in documents.</summary>
    public static (string Name, string Unit) Of(Instrument instrument)
    {
        var unit = instrument.Unit switch
        {
            null => string.Empty,
            "By" => "bytes",
            "s" => "seconds",
            ['{', .. var one, '}'] => one + "s",
            var other => other,
        };
        var name = instrument.Name.Replace('.', '_');
        if (instrument.Unit is "By" or "s" && !name.EndsWith("_" + unit, StringComparison.Ordinal))
        {
            name += "_" + unit;
        }

        return (instrument.GetType().Name.Contains("Counter", StringComparison.Ordinal) ? name + "_total" : name, unit);
    }

    /// <summary>The values of each label of the metrics on pages, as <c>name label</c>; those of histograms and what every series has left out.</summary>
    public static Dictionary<string, SortedSet<string>> ExportedValues(params IEnumerable<string> pages)
    {
        var values = new Dictionary<string, SortedSet<string>>(StringComparer.Ordinal);
        foreach (var line in pages.SelectMany(page => page.Split('\n')).Where(line => line.Length > 0 && line[0] != '#'))
        {
            foreach (var label in PartsOf(line).Select(part => part.Split('=', 2)).Where(label => label[0] is not ("le" or "otel_scope_name")))
            {
                var key = $"{line[..line.IndexOf('{', StringComparison.Ordinal)]} {label[0]}";
                values.TryAdd(key, new(StringComparer.Ordinal));
                values[key].Add(label[1].Trim('"'));
            }
        }

        return values;
    }

    /// <summary>What stands in backticks in the meaning of each metric, in the tables of a document.</summary>
    public static Dictionary<string, HashSet<string>> DocumentedWords(string text) =>
        Rows(text).ToDictionary(
            cells => cells[1].Trim('`'),
            cells => string.Join('|', cells[5..]).Split('`').Where((_, i) => i % 2 == 1).ToHashSet(StringComparer.Ordinal),
            StringComparer.Ordinal);

    private static IEnumerable<string[]> Rows(string text) =>
        text.Split('\n').Where(line => line.StartsWith("| `", StringComparison.Ordinal)).Select(line => line.Split('|', StringSplitOptions.TrimEntries));

    // {a="…",b="…"}: no value here has a quotation mark or a brace in it.
    private static IEnumerable<string> PartsOf(string line) =>
        line.Contains('{', StringComparison.Ordinal)
            ? line[(line.IndexOf('{', StringComparison.Ordinal) + 1)..line.LastIndexOf('}')].Split("\",")
            : [];
}
