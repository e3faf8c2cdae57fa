using k8s;
using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>Only a pod can ask the API server of its cluster for the members.</summary>
internal sealed class PodValidator : IValidateOptions<MembershipOptions>
{
    public ValidateOptionsResult Validate(string? name, MembershipOptions options)
    {
        if (options.Source != MembershipOptions.KubernetesSource || KubernetesClientConfiguration.IsInCluster())
        {
            return ValidateOptionsResult.Success;
        }

        var faults = new SettingFaults(MembershipOptions.Section);
        faults.Add(
            nameof(options.Source),
            options.Source,
            "static, for this is no pod of a cluster with an account: KUBERNETES_SERVICE_HOST, KUBERNETES_SERVICE_PORT or the token and ca.crt in /var/run/secrets/kubernetes.io/serviceaccount are missing");
        return ValidateOptionsResult.Fail(faults.All);
    }
}
