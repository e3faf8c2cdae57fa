using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>What <c>peerd configure overlaybd --json</c> prints.</summary>
/// <param name="File">overlaybd's settings.</param>
/// <param name="Changed">False when there was nothing to do.</param>
/// <param name="Before">What they said of p2p.</param>
/// <param name="After">What they say now.</param>
/// <param name="Backup">The copy of the file without us that is beside it now.</param>
/// <param name="Restart">What to run for it to take effect.</param>
internal sealed record OverlaybdReport(string File, bool Changed, OverlaybdReport.P2p Before, OverlaybdReport.P2p After, string? Backup, string? Restart)
{
    private const string RestartCommand = "systemctl restart overlaybd-tcmu";

    public static OverlaybdReport Of(OverlaybdChange change) =>
        new(change.File, change.IsChanged, P2p.Of(change.Before), P2p.Of(change.After), change.Backup, change.IsChanged ? RestartCommand : null);

    /// <summary>The same for people.</summary>
    public static void Show(OverlaybdChange change, bool isRemoval, Report report)
    {
        if (!change.IsChanged)
        {
            report.Line($"{change.File}: nothing to do, p2p is {change.Before}{(isRemoval && change.Before.Address is not null ? ", which was not set by this command" : string.Empty)}");
        }
        else
        {
            report.Line($"{change.File}: p2p is now {change.After}; it was {change.Before}");
            if (!isRemoval && change.Before is { Enabled: true, Address: not null })
            {
                report.Line($"overlaybd reads no more from {OverlaybdAddress.Shown(change.Before.Address)}; 'peerd configure overlaybd --remove' brings back what was there before us");
            }
        }

        if (change.Backup is not null)
        {
            report.Line($"{change.Backup} is the file as it was before us");
        }

        if (change.IsChanged)
        {
            report.Line($"overlaybd reads this only when it starts: {RestartCommand}");
            report.Line("That re-attaches the devices of all running containers; their reads wait for it");
        }
    }

    /// <summary>What the settings say of p2p.</summary>
    internal sealed record P2p(bool? Enabled, string? Address)
    {
        public static P2p Of(P2pSetting setting) => new(setting.Enabled, setting.Address is null ? null : OverlaybdAddress.Shown(setting.Address));
    }
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(OverlaybdReport))]
internal sealed partial class OverlaybdReportJson : JsonSerializerContext
{
    /// <summary>For terminals and files, where no character needs to be hidden from HTML.</summary>
    public static OverlaybdReportJson Plain { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
