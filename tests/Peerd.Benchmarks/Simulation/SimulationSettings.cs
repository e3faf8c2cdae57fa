using System.CommandLine;
using Peerd.Benchmarks.Measuring;
using Peerd.Contracts;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Simulation;

/// <summary>Which simulations are asked for.</summary>
internal sealed class SimulationSettings
{
    private const string AllNodes = "2,3,8,50,200,1000,5000";
    private const string AllSizes = "64KiB,1MiB,1GiB";
    private const string AllUplinks = "1,4,40";
    private const string AllScenarios = "healthy,slow,killed10,killed30,ringchange,rollingring";
    private const int LargeHerd = 1000;

    private static readonly Option<string> NodesOption = ListOption.OfNumbers("--nodes", "How many nodes want a content.", "50", 20_000);
    private static readonly Option<string> SizesOption = ListOption.Create(
        "--sizes", "Sizes of the content.", "1GiB", item => ByteSize.TryParse(item, out var size) && size.Bytes is >= 1 and <= 1L << 36, "sizes from 1B to 64GiB, such as 256MiB");

    private static readonly Option<string> UplinksOption = ListOption.OfNumbers("--uplinks", "Links of the origin, in links of a node.", "4,1", 1000);
    private static readonly Option<string> ScenariosOption = ListOption.OfNames<SimulationFault>("--scenarios", "What happens", "healthy");
    private static readonly Option<int> SeedsOption = CommonOptions.Number(
        "--seeds", $"Seeds of each case; when not told only one from {LargeHerd} nodes on, which differ little. With rounds each round takes others.", 3, 1, 1000);

    private static readonly Option<bool> FullOption = new("--full") { Description = $"All of nodes {AllNodes}, sizes {AllSizes}, uplinks {AllUplinks} and scenarios {AllScenarios}." };

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, SizesOption, UplinksOption, ScenariosOption, SeedsOption, FullOption];

    /// <summary>The usual ones, unless something else is asked for.</summary>
    public static IReadOnlyList<SimulationCase> CasesOf(ParseResult parsed)
    {
        var isFull = parsed.GetValue(FullOption);
        var isChosen = Array.Exists<Option>([NodesOption, SizesOption, UplinksOption, ScenariosOption], option => parsed.GetResult(option) is { Implicit: false });
        var seeds = parsed.GetValue(SeedsOption);
        var areSeedsTold = parsed.GetResult(SeedsOption) is { Implicit: false };
        if (!isFull && !isChosen)
        {
            return [.. SimulationCase.Usual(seeds)];
        }

        return
        [
            .. from nodes in ListOption.Items(Value(NodesOption, AllNodes)).Select(int.Parse)
               from size in ListOption.Items(Value(SizesOption, AllSizes)).Select(SizeOf)
               from uplink in ListOption.Items(Value(UplinksOption, AllUplinks)).Select(int.Parse)
               from fault in ListOption.Items(Value(ScenariosOption, AllScenarios)).Select(item => Enum.Parse<SimulationFault>(item, ignoreCase: true))
               select new SimulationCase(fault, nodes, size, uplink, nodes < LargeHerd || areSeedsTold ? seeds : 1),
        ];

        string? Value(Option<string> option, string all) => isFull && parsed.GetResult(option) is not { Implicit: false } ? all : parsed.GetValue(option);
    }

    private static long SizeOf(string item) => ByteSize.TryParse(item, out var size) ? size.Bytes : 0;
}
