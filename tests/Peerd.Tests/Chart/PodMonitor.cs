using System.Text.Json.Serialization;
using k8s;
using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>A PodMonitor of the Prometheus operator, with those of its fields that the chart sets.</summary>
internal sealed class PodMonitor : IKubernetesObject<V1ObjectMeta>
{
    [JsonPropertyName("apiVersion")]
    public string ApiVersion { get; set; } = string.Empty;

    [JsonPropertyName("kind")]
    public string Kind { get; set; } = string.Empty;

    [JsonPropertyName("metadata")]
    public V1ObjectMeta Metadata { get; set; } = new();

    [JsonPropertyName("spec")]
    public PodMonitorSpec Spec { get; set; } = new();
}

internal sealed class PodMonitorSpec
{
    [JsonPropertyName("selector")]
    public V1LabelSelector Selector { get; set; } = new();

    [JsonPropertyName("podMetricsEndpoints")]
    public List<PodMonitorEndpoint> PodMetricsEndpoints { get; set; } = [];
}

internal sealed class PodMonitorEndpoint
{
    [JsonPropertyName("path")]
    public string Path { get; set; } = string.Empty;

    [JsonPropertyName("interval")]
    public string Interval { get; set; } = string.Empty;

    [JsonPropertyName("relabelings")]
    public List<PodMonitorRelabeling> Relabelings { get; set; } = [];
}

internal sealed class PodMonitorRelabeling
{
    [JsonPropertyName("sourceLabels")]
    public List<string> SourceLabels { get; set; } = [];

    [JsonPropertyName("action")]
    public string? Action { get; set; }

    [JsonPropertyName("regex")]
    public string? Regex { get; set; }

    [JsonPropertyName("targetLabel")]
    public string? TargetLabel { get; set; }

    [JsonPropertyName("replacement")]
    public string? Replacement { get; set; }
}
