using Peerd.Contracts;

namespace Peerd.Node.Cli.Demo;

/// <summary>The outcome of a demo for people.</summary>
internal static class DemoTable
{
    public static void Write(Report output, DemoReport report)
    {
        output.Table(
            ["node", "from origin#", "from peers#", "from cache#", "seconds#", "digests"],
            report.PerNode.Select(node => new[]
            {
                node.Node,
                new ByteSize(node.OriginBytes).ToRoundedText(),
                new ByteSize(node.PeerBytes).ToRoundedText(),
                new ByteSize(node.CacheBytes).ToRoundedText(),
                $"{node.Seconds:0.00}",
                node.Ok ? "right" : "FAILED",
            }));
        var delivered = (double)report.ImageBytes * report.PerNode.Count(node => node.Ok);
        output.Facts(
            ("origin", $"sent {new ByteSize(report.OriginBytes).ToRoundedText()} in {report.OriginRequests} requests for an image of {new ByteSize(report.ImageBytes).ToRoundedText()}"),
            ("amplification", $"{report.Amplification:0.000} (without peerd: {report.Nodes:0.000})"),
            ("time", $"{report.Seconds:0.00} s until the last node was done, {new ByteSize((long)(delivered / Math.Max(report.Seconds, 0.001))).ToRoundedText()}/s over all nodes"));
    }
}
