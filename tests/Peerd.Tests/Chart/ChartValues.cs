using System.Text.RegularExpressions;

namespace Peerd.Tests.Chart;

/// <summary>What <c>values.yaml</c> says: each value with its default and the comment above it.</summary>
internal sealed partial class ChartValues
{
    private const int MatchTimeout = 2000;

    private ChartValues(IEnumerable<string> lines)
    {
        var path = new List<string>();
        var comment = string.Empty;
        foreach (var line in lines.Where(line => line.Length > 0))
        {
            var match = Line.Match(line);
            Assert.True(match.Success, $"values.yaml has a line that is neither a value nor a comment above one: {line}");
            if (match.Groups["comment"] is { Success: true } text)
            {
                comment = $"{comment} {text.Value}".Trim();
                continue;
            }

            path.RemoveRange(match.Groups["indent"].Length / 2, path.Count - (match.Groups["indent"].Length / 2));
            path.Add(match.Groups["key"].Value);
            if (match.Groups["value"].Length > 0)
            {
                Assert.True(comment.Length > 0, $"{string.Join('.', path)} has no comment in values.yaml");
                Values.Add((string.Join('.', path), match.Groups["value"].Value, comment));
            }
            else
            {
                Sections.Add(string.Join('.', path));
            }

            comment = string.Empty;
        }
    }

    /// <summary>Paths of what has values below it.</summary>
    public List<string> Sections { get; } = [];

    public List<(string Path, string Default, string Comment)> Values { get; } = [];

    public static ChartValues Read() => new(File.ReadLines(Path.Combine(ChartTool.Chart, "values.yaml")));

    /// <summary>The table for people.</summary>
    public string ToMarkdown() => string.Concat(Values
        .Select(value => $"| `{value.Path}` | {DefaultOf(value.Default)} | {value.Comment} |\n")
        .Prepend("| value | default | meaning |\n| --- | --- | --- |\n"));

    private static string DefaultOf(string value) => value switch
    {
        "\"\"" or "[]" or "{}" => "none",
        { Length: > 60 } => "see `values.yaml`",
        _ => $"`{value}`",
    };

    [GeneratedRegex("""^(?<indent> *)(# (?<comment>.*)|(?<key>[A-Za-z]+):( (?<value>\S.*))?)$""", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Line { get; }
}
