using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Directory;

/// <summary>Section <c>Peerd:Tags</c>: tags while their registry is down.</summary>
internal sealed class TagOptions
{
    public const string Section = "Peerd:Tags";

    /// <summary>How old the last word of a registry may be to be used while it is down. 0s (never) to 30d, default <c>24h</c>.</summary>
    public string MaxStale { get; set; } = "24h";

    internal TimeSpan MaxStaleValue => Duration.Parse(MaxStale);
}

/// <summary>Checks <see cref="TagOptions"/> at start.</summary>
internal sealed class TagOptionsValidator : IValidateOptions<TagOptions>
{
    public ValidateOptionsResult Validate(string? name, TagOptions options)
    {
        var faults = new SettingFaults(TagOptions.Section);
        faults.ReadDuration(nameof(options.MaxStale), options.MaxStale, TimeSpan.Zero, TimeSpan.FromDays(30));
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
