using System.Text.Json.Serialization;
using k8s;
using k8s.Models;

namespace Peerd.Tests.Chart;

/// <summary>A Certificate of cert-manager, with those of its fields that the chart sets.</summary>
internal sealed class CertManagerCertificate : IKubernetesObject<V1ObjectMeta>
{
    [JsonPropertyName("apiVersion")]
    public string ApiVersion { get; set; } = string.Empty;

    [JsonPropertyName("kind")]
    public string Kind { get; set; } = string.Empty;

    [JsonPropertyName("metadata")]
    public V1ObjectMeta Metadata { get; set; } = new();

    [JsonPropertyName("spec")]
    public CertificateSpec Spec { get; set; } = new();
}

internal sealed class CertificateSpec
{
    [JsonPropertyName("secretName")]
    public string SecretName { get; set; } = string.Empty;

    [JsonPropertyName("duration")]
    public string Duration { get; set; } = string.Empty;

    [JsonPropertyName("dnsNames")]
    public List<string> DnsNames { get; set; } = [];

    [JsonPropertyName("usages")]
    public List<string> Usages { get; set; } = [];

    [JsonPropertyName("privateKey")]
    public Dictionary<string, string> PrivateKey { get; set; } = [];

    [JsonPropertyName("issuerRef")]
    public Dictionary<string, string> IssuerRef { get; set; } = [];
}
