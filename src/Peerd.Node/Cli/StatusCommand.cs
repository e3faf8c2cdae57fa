using System.CommandLine;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Node.Cli;

/// <summary><c>peerd status</c>: the state of a node in a few numbers.</summary>
internal static class StatusCommand
{
    public static Command Create()
    {
        var access = new NodeAccessOptions();
        var json = CommonOptions.Json();
        var command = new Command("status", "Show the state of a node.") { access.Address, access.Config, json };
        command.SetAction((parsed, cancellationToken) => NodeQuery.RunAsync(
            parsed,
            access,
            (node, options) => node.GetStatusAsync(new GetStatusRequest(), options),
            status => Show(status, Report.For(parsed.InvocationConfiguration), parsed.GetValue(json)),
            cancellationToken));
        return command;
    }

    internal static void Show(GetStatusResponse status, Report report, bool json)
    {
        if (json)
        {
            report.Json(ToReport(status), ReportJson.Default.StatusReport);
            return;
        }

        report.Facts(
            ("node", status.Node),
            ("version", status.Version),
            ("up for", FormatDuration(TimeSpan.FromSeconds(status.UptimeSeconds))),
            ("ring", $"{status.RingVersion}, {Count(status.Members, "member")}"),
            ("connected peers", $"{status.ConnectedPeers}"),
            ("cache", $"{new ByteSize(status.CacheBytes).ToRoundedText()} of {new ByteSize(status.CacheCapacityBytes).ToRoundedText()}, {Count(status.Contents, "content")}{(status.CacheWritable ? "" : ", cannot be written")}"),
            ("downloads", $"{status.Downloads}"),
            ("directory", Count(status.DirectoryContents, "content")),
            ("from origin", $"{new ByteSize(status.OriginBytes).ToRoundedText()}"),
            ("from peers", $"{new ByteSize(status.PeerReceivedBytes).ToRoundedText()}"),
            ("to peers", $"{new ByteSize(status.PeerSentBytes).ToRoundedText()}"));
    }

    private static StatusReport ToReport(GetStatusResponse status) => new(
        status.Node,
        status.Version,
        status.UptimeSeconds,
        status.Members,
        status.ConnectedPeers,
        status.RingVersion,
        status.CacheBytes,
        status.CacheCapacityBytes,
        status.CacheWritable,
        status.Contents,
        status.Downloads,
        status.DirectoryContents,
        status.OriginBytes,
        status.PeerReceivedBytes,
        status.PeerSentBytes);

    private static string Count(long number, string what) => number == 1 ? $"1 {what}" : $"{number} {what}s";

    private static string FormatDuration(TimeSpan time) => time switch
    {
        { TotalDays: >= 1 } => $"{time.Days} d {time.Hours} h",
        { TotalHours: >= 1 } => $"{time.Hours} h {time.Minutes} min",
        { TotalMinutes: >= 1 } => $"{time.Minutes} min {time.Seconds} s",
        _ => $"{time.Seconds} s",
    };
}
