using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Hosting.Events;

/// <summary>Settings of the events of the pod, section <c>Peerd:Events</c>. Without a pod there are none.</summary>
internal sealed class EventOptions
{
    public const string Section = "Peerd:Events";

    private const int LongestName = 253;

    /// <summary>Name of the pod that events are about. Empty (default): no events.</summary>
    public string Pod { get; set; } = string.Empty;

    /// <summary>Its namespace.</summary>
    public string Namespace { get; set; } = string.Empty;

    /// <summary>Its uid, by which Kubernetes tells it from others of the same name. Empty (default): unknown.</summary>
    public string Uid { get; set; } = string.Empty;

    internal bool AreOn => Pod.Length > 0;

    /// <summary>Names of Kubernetes: they become part of a URL.</summary>
    internal static bool IsName(string name) =>
        name.Length is > 0 and <= LongestName && name.All(c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c is '-' or '.') && name[0] != '.';
}

/// <summary>Checks <see cref="EventOptions"/> at start; tells all faults at once.</summary>
internal sealed class EventOptionsValidator : IValidateOptions<EventOptions>
{
    private const string AllowedName = "a name of Kubernetes: lower-case letters, digits, hyphens and dots";

    public ValidateOptionsResult Validate(string? name, EventOptions options)
    {
        var faults = new SettingFaults(EventOptions.Section);
        if (options.AreOn && !EventOptions.IsName(options.Pod))
        {
            faults.Add(nameof(options.Pod), options.Pod, AllowedName);
        }

        if (options.AreOn && !EventOptions.IsName(options.Namespace))
        {
            faults.Add(nameof(options.Namespace), options.Namespace, AllowedName);
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
