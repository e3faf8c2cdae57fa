using Microsoft.Extensions.Options;
using Peerd.Node.Directory;
using Peerd.Node.Facade;
using Peerd.Node.Hosting.Events;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Storage.Containerd;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Hosting;

/// <summary>All keys that mean something under <c>Peerd</c>. Others are most likely typing errors and stop the start.</summary>
internal static class ConfigurationKeys
{
    /// <summary>The keys without <c>Peerd:</c>; <c>*</c> stands for the number of an entry of a list.</summary>
    public static readonly IReadOnlyList<string> All =
    [
        $"Node:{nameof(NodeOptions.Name)}",
        $"Node:{nameof(NodeOptions.Zone)}",
        "Facade:Listen",
        $"Facade:{nameof(FacadeOptions.DefaultRegistry)}",
        $"Facade:{nameof(FacadeOptions.AnswerTimeout)}",
        $"Facade:{nameof(FacadeOptions.RequestHeadersTimeout)}",
        $"Facade:{nameof(FacadeOptions.MaxConnections)}",
        $"Facade:{nameof(FacadeOptions.Access)}",
        $"Facade:{nameof(FacadeOptions.AccessLifetime)}",
        $"Facade:{nameof(FacadeOptions.AccessWhenDown)}",
        $"Facade:{nameof(FacadeOptions.AccessKnownFor)}",
        $"Mesh:{nameof(MeshOptions.Listen)}",
        $"Mesh:{nameof(MeshOptions.Uploads)}",
        $"Mesh:{nameof(MeshOptions.ConnectTimeout)}",
        $"Mesh:{nameof(MeshOptions.IdleTimeout)}",
        $"Mesh:{nameof(MeshOptions.RangeDeadline)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Certificate)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Key)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Authority)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Domain)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Names)}",
        $"Mesh:Tls:{nameof(MeshTlsOptions.Reload)}",
        "Metrics:Listen",
        $"Limits:{nameof(LimitOptions.Upload)}",
        $"Limits:{nameof(LimitOptions.Download)}",
        $"Limits:{nameof(LimitOptions.Origin)}",
        $"Limits:{nameof(LimitOptions.Requests)}",
        $"Limits:{nameof(LimitOptions.RequestsPerConnection)}",
        $"Limits:{nameof(LimitOptions.Memory)}",
        $"Limits:{nameof(LimitOptions.MeshConnections)}",
        $"Limits:{nameof(LimitOptions.MeshConnectionsPerAddress)}",
        $"Limits:{nameof(LimitOptions.StreamsPerConnection)}",
        $"Limits:{nameof(LimitOptions.MetricsConnections)}",
        $"Membership:{nameof(MembershipOptions.Source)}",
        $"Membership:{nameof(MembershipOptions.Members)}:*:{nameof(ConfiguredMember.Name)}",
        $"Membership:{nameof(MembershipOptions.Members)}:*:{nameof(ConfiguredMember.Address)}",
        $"Membership:{nameof(MembershipOptions.Members)}:*:{nameof(ConfiguredMember.Zone)}",
        $"Membership:{nameof(MembershipOptions.Selector)}",
        $"Membership:{nameof(MembershipOptions.ExcludeLabel)}",
        $"Membership:{nameof(MembershipOptions.NotReadyGrace)}",
        $"Membership:{nameof(MembershipOptions.Resync)}",
        $"Membership:{nameof(MembershipOptions.StateFile)}",
        $"Cache:{nameof(CacheOptions.Directory)}",
        $"Cache:{nameof(CacheOptions.Capacity)}",
        $"Cache:{nameof(CacheOptions.Memory)}",
        $"Containerd:{nameof(ContainerdOptions.Enabled)}",
        $"Containerd:{nameof(ContainerdOptions.Socket)}",
        $"Containerd:{nameof(ContainerdOptions.Namespace)}",
        $"Containerd:{nameof(ContainerdOptions.Resync)}",
        $"Origin:{nameof(OriginOptions.Registries)}:*:{nameof(OriginRegistryOptions.Name)}",
        $"Origin:{nameof(OriginOptions.Registries)}:*:{nameof(OriginRegistryOptions.Endpoint)}",
        $"Origin:{nameof(OriginOptions.Registries)}:*:{nameof(OriginRegistryOptions.Auth)}",
        $"Origin:{nameof(OriginOptions.Registries)}:*:{nameof(OriginRegistryOptions.TokenServers)}:*",
        $"Origin:{nameof(OriginOptions.Auth)}",
        $"Origin:{nameof(OriginOptions.RelayBasic)}",
        $"Origin:{nameof(OriginOptions.CredentialsFile)}",
        $"Origin:{nameof(OriginOptions.ConnectTimeout)}",
        $"Origin:{nameof(OriginOptions.HeaderTimeout)}",
        $"Origin:{nameof(OriginOptions.IdleTimeout)}",
        $"Origin:{nameof(OriginOptions.Retries)}",
        $"Origin:{nameof(OriginOptions.RetryDelay)}",
        $"Origin:{nameof(OriginOptions.MaxRedirects)}",
        $"Origin:{nameof(OriginOptions.MaxConcurrentRequests)}",
        $"Origin:{nameof(OriginOptions.RequestsPerSecond)}",
        $"Origin:{nameof(OriginOptions.NotFoundFor)}",
        $"Blobs:{nameof(BlobOptions.Hosts)}:*",
        $"Blobs:{nameof(BlobOptions.MoreHosts)}:*",
        $"Blobs:{nameof(BlobOptions.AllowedNetworks)}:*",
        $"Blobs:{nameof(BlobOptions.AnswerTimeout)}",
        $"Blobs:{nameof(BlobOptions.ReadAhead)}",
        $"Blobs:{nameof(BlobOptions.LearnedOrder)}",
        $"Tags:{nameof(TagOptions.MaxStale)}",
        $"Events:{nameof(EventOptions.Pod)}",
        $"Events:{nameof(EventOptions.Namespace)}",
        $"Events:{nameof(EventOptions.Uid)}",
        $"Handover:{nameof(HandoverOptions.Enabled)}",
        $"Handover:{nameof(HandoverOptions.DrainTime)}",
        $"Handover:{nameof(HandoverOptions.ProbeSocket)}",
        $"Log:{nameof(LogOptions.Level)}",
        $"Log:{nameof(LogOptions.Format)}",
        $"Log:{nameof(LogOptions.Time)}",
        $"Telemetry:{nameof(TelemetryOptions.OtlpEndpoint)}",
        $"Telemetry:{nameof(TelemetryOptions.OtlpProtocol)}",
        $"Telemetry:{nameof(TelemetryOptions.SamplingRatio)}",
        $"Telemetry:{nameof(TelemetryOptions.MetricsInterval)}",
    ];

    private const string Root = "Peerd";
    private const string AnyEntry = "*";

    /// <summary>Refuses keys that are not in the list.</summary>
    /// <exception cref="OptionsValidationException">There is one; tells all of them.</exception>
    public static void Check(IConfiguration configuration)
    {
        var faults = new List<string>();
        Check(configuration.GetSection(Root), [.. All.Select(key => key.Split(':'))], depth: 0, faults);
        if (faults.Count > 0)
        {
            throw new OptionsValidationException(Root, typeof(ConfigurationKeys), faults);
        }
    }

    /// <param name="section">Where we are.</param>
    /// <param name="keys">The keys that lie under it.</param>
    /// <param name="depth">How many parts of these lead here.</param>
    /// <param name="faults">What was found so far.</param>
    private static void Check(IConfigurationSection section, string[][] keys, int depth, List<string> faults)
    {
        var allowed = keys.Where(key => key.Length > depth).Select(key => key[depth]).Distinct(StringComparer.Ordinal).ToArray();

        // An empty list or object in JSON is an empty value.
        if (allowed.Length > 0 && !string.IsNullOrEmpty(section.Value))
        {
            faults.Add($"{section.Path} is a value; allowed: {Describe(allowed)}");
        }

        foreach (var child in section.GetChildren())
        {
            var under = keys.Where(key => key.Length > depth && Matches(key[depth], child.Key)).ToArray();
            if (under.Length == 0)
            {
                faults.Add(allowed.Length == 0
                    ? $"{child.Path} is not a setting; allowed: a value for {section.Path}"
                    : $"{child.Path} is not a setting; allowed in {section.Path}: {Describe(allowed)}");
            }
            else
            {
                Check(child, under, depth + 1, faults);
            }
        }
    }

    private static bool Matches(string key, string written) =>
        key == AnyEntry ? written.All(char.IsAsciiDigit) : key.Equals(written, StringComparison.OrdinalIgnoreCase);

    private static string Describe(string[] allowed) => allowed is [AnyEntry] ? "a list, its entries numbered from 0" : string.Join(", ", allowed);
}
