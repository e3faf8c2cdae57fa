using System.CommandLine;
using Peerd.Benchmarks.Measuring;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Herd;

/// <summary>What the herd benchmark is asked to do.</summary>
/// <param name="Nodes">How many pull at once.</param>
/// <param name="Rate">Bits per second of a node's link, each way.</param>
/// <param name="Uplinks">Links of the registry, in links of a node.</param>
/// <param name="Layers">Layers of the images.</param>
/// <param name="Modes">What is measured.</param>
/// <param name="WarmUpSize">Bytes of another image that nodes pull before they are measured.</param>
internal sealed record HerdSettings(int Nodes, long Rate, IReadOnlyList<int> Uplinks, IReadOnlyList<int> Layers, IReadOnlyList<HerdMode> Modes, long WarmUpSize)
{
    private static readonly Option<int> NodesOption = CommonOptions.Number("--nodes", "How many nodes pull at once.", 8, 2, 64);
    private static readonly Option<int> RateOption = CommonOptions.Number("--rate", "Mbit/s of a node's link, each way.", 100, 1, 10_000);
    private static readonly Option<string> UplinksOption = ListOption.OfNumbers("--uplinks", "Links of the registry, in links of a node.", "4,1", 1000);
    private static readonly Option<string> LayersOption = ListOption.OfNumbers("--layers", "Layers of the images.", "4,1", 32);
    private static readonly Option<string> ModesOption =
        ListOption.OfNames<HerdMode>("--modes", "What is measured", string.Join(',', Enum.GetNames<HerdMode>()).ToLowerInvariant());

    private static readonly Option<int> WarmUpOption = CommonOptions.Number("--warm-up", "MiB of another image that new nodes pull before they are measured.", 256, 0, 1024);

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, RateOption, UplinksOption, LayersOption, ModesOption, WarmUpOption];

    public static HerdSettings From(ParseResult parsed) => new(
        parsed.GetValue(NodesOption),
        parsed.GetValue(RateOption) * 1_000_000L,
        [.. ListOption.Items(parsed.GetValue(UplinksOption)).Select(int.Parse).Distinct()],
        [.. ListOption.Items(parsed.GetValue(LayersOption)).Select(int.Parse).Distinct()],
        [.. ListOption.Items(parsed.GetValue(ModesOption)).Select(item => Enum.Parse<HerdMode>(item, ignoreCase: true)).Distinct().Order()],
        (long)parsed.GetValue(WarmUpOption) << 20);
}
