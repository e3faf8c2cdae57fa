using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Membership;

/// <summary>Finds all that is wrong with <see cref="NodeOptions"/> at once. Stateless.</summary>
internal sealed class NodeOptionsValidator : IValidateOptions<NodeOptions>
{
    public ValidateOptionsResult Validate(string? name, NodeOptions options)
    {
        var faults = new SettingFaults(NodeOptions.Section);
        if (!NodeName.IsValid(options.Name))
        {
            faults.Add(nameof(options.Name), options.Name, NodeName.Allowed);
        }

        if (!NodeName.IsValidZone(options.Zone))
        {
            faults.Add(nameof(options.Zone), options.Zone, $"empty, or {NodeName.Allowed}");
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
