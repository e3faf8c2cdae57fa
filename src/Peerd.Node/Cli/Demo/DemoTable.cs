using Peerd.Contracts;
using Spectre.Console;

namespace Peerd.Node.Cli.Demo;

/// <summary>The outcome of a demo for people.</summary>
internal static class DemoTable
{
    public static void Write(IAnsiConsole console, DemoReport report)
    {
        var table = new Table { Border = console.Profile.Out.IsTerminal ? TableBorder.Rounded : TableBorder.Markdown };
        table.AddColumn("node");
        foreach (var name in new[] { "from origin", "from peers", "from cache", "seconds" })
        {
            table.AddColumn(new TableColumn(name) { Alignment = Justify.Right });
        }

        table.AddColumn("digests");
        foreach (var node in report.PerNode)
        {
            table.AddRow(
                Markup.Escape(node.Node),
                new ByteSize(node.OriginBytes).ToRoundedText(),
                new ByteSize(node.PeerBytes).ToRoundedText(),
                new ByteSize(node.CacheBytes).ToRoundedText(),
                $"{node.Seconds:0.00}",
                node.Ok ? "[green]right[/]" : "[red]FAILED[/]");
        }

        console.Write(table);
        var delivered = (double)report.ImageBytes * report.PerNode.Count(node => node.Ok);
        var writer = console.Profile.Out.Writer;
        writer.WriteLine($"Origin:        sent {new ByteSize(report.OriginBytes).ToRoundedText()} in {report.OriginRequests} requests for an image of {new ByteSize(report.ImageBytes).ToRoundedText()}");
        writer.WriteLine($"Amplification: {report.Amplification:0.000} (without peerd: {report.Nodes:0.000})");
        writer.WriteLine($"Time:          {report.Seconds:0.00} s until the last node was done, {new ByteSize((long)(delivered / Math.Max(report.Seconds, 0.001))).ToRoundedText()}/s over all nodes");
    }
}
