using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Hosting;

/// <summary>Section <c>Peerd:Log</c>: what is logged to standard output, and how.</summary>
internal sealed class LogOptions
{
    public const string Section = "Peerd:Log";
    public const string Text = "text";
    public const string Json = "json";
    public const string Utc = "utc";
    public const string None = "none";

    /// <summary>Least level that is logged: Trace, Debug, Information (default), Warning, Error, Critical.</summary>
    public string Level { get; set; } = nameof(LogLevel.Information);

    /// <summary><c>text</c> (default) or <c>json</c>.</summary>
    public string Format { get; set; } = Text;

    /// <summary>The time of each entry: <c>utc</c> (default), or <c>none</c> for whoever collects the log and adds a time of his own.</summary>
    public string Time { get; set; } = Utc;
}

/// <summary>Checks <see cref="LogOptions"/> at start; tells all faults at once.</summary>
internal sealed class LogOptionsValidator : IValidateOptions<LogOptions>
{
    public ValidateOptionsResult Validate(string? name, LogOptions options)
    {
        var faults = new SettingFaults(LogOptions.Section);
        if (!Enum.TryParse<LogLevel>(options.Level, ignoreCase: true, out var level) || !Enum.IsDefined(level) || level == LogLevel.None || char.IsAsciiDigit(options.Level[0]))
        {
            faults.Add(nameof(options.Level), options.Level, "Trace, Debug, Information, Warning, Error, Critical");
        }

        if (options.Format is not (LogOptions.Text or LogOptions.Json))
        {
            faults.Add(nameof(options.Format), options.Format, $"{LogOptions.Text}, {LogOptions.Json}");
        }

        if (options.Time is not (LogOptions.Utc or LogOptions.None))
        {
            faults.Add(nameof(options.Time), options.Time, $"{LogOptions.Utc}, {LogOptions.None}");
        }

        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
