using Microsoft.Extensions.Options;

namespace Peerd.Node.Membership;

/// <summary>Finds all that is wrong with <see cref="MembershipOptions"/> at once. Stateless.</summary>
internal sealed class MembershipOptionsValidator : IValidateOptions<MembershipOptions>
{
    public ValidateOptionsResult Validate(string? name, MembershipOptions options)
    {
        var errors = new List<string>();
        if (options.Source != MembershipOptions.StaticSource)
        {
            errors.Add($"{MembershipOptions.Section}:Source is '{options.Source}'; allowed: {MembershipOptions.StaticSource}");
        }

        var names = new HashSet<string>();
        var addresses = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 0; i < options.Members.Count; i++)
        {
            Check(options.Members[i], $"{MembershipOptions.Section}:Members:{i}", names, addresses, errors);
        }

        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }

    private static void Check(ConfiguredMember member, string key, HashSet<string> names, HashSet<string> addresses, List<string> errors)
    {
        if (!NodeName.IsValid(member.Name))
        {
            errors.Add($"{key}:Name is '{member.Name}'; allowed: {NodeName.Allowed}");
        }
        else if (!names.Add(member.Name))
        {
            errors.Add($"{key}:Name is '{member.Name}', as is that of a member before; allowed: each name once");
        }

        if (!MemberAddress.TryParse(member.Address, out var address))
        {
            errors.Add($"{key}:Address is '{member.Address}'; allowed: {MemberAddress.Allowed}");
        }
        else if (!addresses.Add(MemberAddress.Format(address)))
        {
            errors.Add($"{key}:Address is '{member.Address}', as is that of a member before; allowed: each address once");
        }

        if (!NodeName.IsValidZone(member.Zone))
        {
            errors.Add($"{key}:Zone is '{member.Zone}'; allowed: empty, or {NodeName.Allowed}");
        }
    }
}
