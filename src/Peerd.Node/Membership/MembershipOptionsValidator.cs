using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Membership.Kubernetes;

namespace Peerd.Node.Membership;

/// <summary>Finds all that is wrong with <see cref="MembershipOptions"/> at once. Stateless.</summary>
internal sealed class MembershipOptionsValidator : IValidateOptions<MembershipOptions>
{
    public ValidateOptionsResult Validate(string? name, MembershipOptions options)
    {
        var faults = new SettingFaults(MembershipOptions.Section);
        if (options.Source is not (MembershipOptions.StaticSource or MembershipOptions.KubernetesSource))
        {
            faults.Add(nameof(options.Source), options.Source, $"{MembershipOptions.StaticSource} or {MembershipOptions.KubernetesSource}");
        }

        if (options.StateFile.Length > 0 && !Path.IsPathRooted(options.StateFile))
        {
            faults.Add(nameof(options.StateFile), options.StateFile, "an absolute path, or empty");
        }

        if (!LabelSelector.IsValid(options.Selector))
        {
            faults.Add(nameof(options.Selector), options.Selector, LabelSelector.Allowed);
        }

        faults.ReadDuration(nameof(options.NotReadyGrace), options.NotReadyGrace, TimeSpan.Zero, TimeSpan.FromHours(1));
        faults.ReadDuration(nameof(options.Resync), options.Resync, TimeSpan.FromMinutes(1), TimeSpan.FromDays(1));

        var names = new HashSet<string>();
        var addresses = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < options.Members.Count; i++)
        {
            Check(options.Members[i], $"{nameof(options.Members)}:{i}", names, addresses, faults);
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }

    private static void Check(ConfiguredMember member, string key, HashSet<string> names, HashSet<string> addresses, SettingFaults faults)
    {
        if (!NodeName.IsValid(member.Name))
        {
            faults.Add($"{key}:Name", member.Name, NodeName.Allowed);
        }
        else if (!names.Add(member.Name))
        {
            faults.Add($"{key}:Name", member.Name, "each name once");
        }

        if (!MemberAddress.TryParse(member.Address, out var address))
        {
            faults.Add($"{key}:Address", member.Address, MemberAddress.Allowed);
        }
        else if (!addresses.Add(MemberAddress.Format(address)))
        {
            faults.Add($"{key}:Address", member.Address, "each address once");
        }

        if (!NodeName.IsValidZone(member.Zone))
        {
            faults.Add($"{key}:Zone", member.Zone, $"empty, or {NodeName.Allowed}");
        }
    }
}
