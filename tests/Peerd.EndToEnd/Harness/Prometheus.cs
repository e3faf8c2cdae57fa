using System.Text.Json.Nodes;

namespace Peerd.EndToEnd.Harness;

/// <summary>Debian's Prometheus, which scrapes nodes every second and has our alert rules loaded.</summary>
internal sealed class Prometheus
{
    private static readonly TimeSpan StartTimeout = TimeSpan.FromSeconds(60);

    private readonly Uri _endpoint;

    private Prometheus(RunningProcess process, Uri endpoint)
    {
        Process = process;
        _endpoint = endpoint;
    }

    public RunningProcess Process { get; }

    /// <summary>Starts it and waits until it has scraped all nodes.</summary>
    /// <param name="lab">Owns it.</param>
    /// <param name="rules">File with alert rules.</param>
    /// <param name="nodes">Whom it scrapes.</param>
    public static async Task<Prometheus> StartAsync(Lab lab, string rules, IReadOnlyList<PeerdNode> nodes)
    {
        var folder = lab.CreateFolder("prometheus");
        var configuration = Path.Combine(folder, "prometheus.yml");
        await File.WriteAllTextAsync(configuration, $"""
            global:
              scrape_interval: 1s
              scrape_timeout: 1s
              evaluation_interval: 1s
            rule_files: ["{rules}"]
            scrape_configs:
              - job_name: peerd
                metrics_path: /metrics/prometheus
                static_configs:
                  - targets: [{string.Join(", ", nodes.Select(node => $"\"{node.Metrics.Authority}\""))}]
            """);
        var endpoint = new Uri($"http://127.0.0.1:{FreePorts.Take()}/");
        var process = await lab.StartAsync(
            "prometheus", "/usr/bin/prometheus", [$"--config.file={configuration}", $"--storage.tsdb.path={folder}/data", $"--web.listen-address={endpoint.Authority}"]);
        var prometheus = new Prometheus(process, endpoint);
        await Wait.UntilOkAsync(new Uri(endpoint, "-/ready"), process, StartTimeout);
        await Wait.UntilAsync("Prometheus has scraped all nodes", process, async () => await prometheus.QueryAsync("sum(up)") is [var up] && up == nodes.Count, StartTimeout);
        return prometheus;
    }

    /// <summary>The values that a query has now, one for each series.</summary>
    public async Task<double[]> QueryAsync(string query)
    {
        var answer = await GetAsync($"api/v1/query?query={Uri.EscapeDataString(query)}");
        return [.. answer["result"]!.AsArray().Select(series => double.Parse(series!["value"]![1]!.GetValue<string>(), System.Globalization.CultureInfo.InvariantCulture))];
    }

    /// <summary>The loaded alert rules: name, expression, and state (<c>inactive</c>, <c>pending</c>, <c>firing</c>).</summary>
    public async Task<IReadOnlyList<(string Alert, string Expression, string State)>> RulesAsync()
    {
        var answer = await GetAsync("api/v1/rules");
        return [.. answer["groups"]!.AsArray().SelectMany(group => group!["rules"]!.AsArray())
            .Select(rule => (rule!["name"]!.GetValue<string>(), rule["query"]!.GetValue<string>(), rule["state"]!.GetValue<string>()))];
    }

    private async Task<JsonNode> GetAsync(string path)
    {
        using var client = new HttpClient();
        using var response = await client.GetAsync(new Uri(_endpoint, path));
        var text = await response.Content.ReadAsStringAsync();
        return response.IsSuccessStatusCode ? JsonNode.Parse(text)!["data"]! : throw new InvalidOperationException($"Prometheus answers {(int)response.StatusCode} to {path}: {text}");
    }
}
