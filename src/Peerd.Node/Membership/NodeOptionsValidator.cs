using Microsoft.Extensions.Options;

namespace Peerd.Node.Membership;

/// <summary>Finds all that is wrong with <see cref="NodeOptions"/> at once. Stateless.</summary>
internal sealed class NodeOptionsValidator : IValidateOptions<NodeOptions>
{
    public ValidateOptionsResult Validate(string? name, NodeOptions options)
    {
        var errors = new List<string>();
        if (!NodeName.IsValid(options.Name))
        {
            errors.Add($"{NodeOptions.Section}:Name is '{options.Name}'; allowed: {NodeName.Allowed}");
        }

        if (!NodeName.IsValidZone(options.Zone))
        {
            errors.Add($"{NodeOptions.Section}:Zone is '{options.Zone}'; allowed: empty, or {NodeName.Allowed}");
        }

        return errors.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }
}
