using System.Globalization;

namespace Peerd.EndToEnd.Harness;

/// <summary>The metrics of a node at one moment, as Prometheus reads them.</summary>
internal sealed class NodeMetrics
{
    // An answer is given again for 300 ms.
    private static readonly TimeSpan LongerThanAnswersAreKept = TimeSpan.FromMilliseconds(400);

    private readonly string[] _samples;

    private NodeMetrics(string text) =>
        _samples = [.. text.Split('\n').Where(line => line.Length > 0 && line[0] != '#')];

    /// <summary>Reads them; what happened before the call is in them.</summary>
    public static async Task<NodeMetrics> ReadAsync(PeerdNode node, LabHost? host, CancellationToken cancellationToken)
    {
        await Task.Delay(LongerThanAnswersAreKept, cancellationToken);
        using var client = host?.CreateClient() ?? new HttpClient();
        return new NodeMetrics(await client.GetStringAsync(new Uri(node.Metrics, "metrics/prometheus"), cancellationToken));
    }

    /// <summary>The sum of a counter over all of its samples, or those with this label, such as <c>source="local"</c>; 0 before it has counted anything.</summary>
    public long Sum(string name, string label = "") => (long)_samples
        .Where(sample => sample.StartsWith(name, StringComparison.Ordinal) && sample[name.Length] is '{' or ' ' && sample.Contains(label, StringComparison.Ordinal))
        .Sum(sample => ValueOf(sample[name.Length..]));

    /// <summary>There is such a counter or gauge, whatever it says.</summary>
    public bool Has(string name) => Array.Exists(_samples, sample => sample.StartsWith(name, StringComparison.Ordinal) && sample[name.Length] is '{' or ' ');

    // {label="value",…} 1234 1700000000000, with or without the first and the last
    private static double ValueOf(string sample) =>
        double.Parse(sample[(sample.LastIndexOf('}') + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries)[0], CultureInfo.InvariantCulture);
}
