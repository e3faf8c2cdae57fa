using System.CommandLine;
using Peerd.Contracts;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Simulation;

/// <summary>Which simulations are asked for.</summary>
internal sealed class SimulationSettings
{
    private const string AllNodes = "2,3,8,50,200,1000,5000";
    private const string AllSizes = "64KiB,1MiB,1GiB";
    private const string AllUplinks = "1,4,40";
    private const string AllScenarios = "healthy,slow,killed10,killed30,ringchange";

    private static readonly Option<string> NodesOption = List("--nodes", "How many nodes want a content.", "50");
    private static readonly Option<string> SizesOption = List("--sizes", "Sizes of the content.", "1GiB");
    private static readonly Option<string> UplinksOption = List("--uplinks", "Links of the origin, in links of a node.", "4,1");
    private static readonly Option<string> ScenariosOption = List(
        "--scenarios", $"What happens, of {string.Join(", ", Enum.GetNames<SimulationFault>()).ToLowerInvariant()}.", "healthy");

    private static readonly Option<int> SeedsOption = CommonOptions.Number("--seeds", "Seeds of each case; with rounds each round takes others.", 3, 1, 1000);
    private static readonly Option<bool> FullOption = new("--full") { Description = $"All of nodes {AllNodes}, sizes {AllSizes}, uplinks {AllUplinks} and scenarios {AllScenarios}." };

    static SimulationSettings()
    {
        Check(NodesOption, item => int.TryParse(item, out var number) && number is >= 1 and <= 20_000, "numbers from 1 to 20000");
        Check(SizesOption, item => ByteSize.TryParse(item, out var size) && size.Bytes is >= 1 and <= 1L << 36, "sizes from 1B to 64GiB, such as 256MiB");
        Check(UplinksOption, item => int.TryParse(item, out var number) && number is >= 1 and <= 1000, "numbers from 1 to 1000");
        Check(ScenariosOption, item => !int.TryParse(item, out _) && Enum.TryParse<SimulationFault>(item, ignoreCase: true, out _), string.Join(", ", Enum.GetNames<SimulationFault>()).ToLowerInvariant());
    }

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, SizesOption, UplinksOption, ScenariosOption, SeedsOption, FullOption];

    /// <summary>What is promised, unless something else is asked for.</summary>
    public static IReadOnlyList<SimulationCase> CasesOf(ParseResult parsed)
    {
        var isFull = parsed.GetValue(FullOption);
        var isChosen = Array.Exists<Option>([NodesOption, SizesOption, UplinksOption, ScenariosOption], option => parsed.GetResult(option) is { Implicit: false });
        var seeds = parsed.GetValue(SeedsOption);
        if (!isFull && !isChosen)
        {
            return [.. SimulationCase.Promised(seeds)];
        }

        return
        [
            .. from nodes in Items(Value(NodesOption, AllNodes)).Select(int.Parse)
               from size in Items(Value(SizesOption, AllSizes)).Select(SizeOf)
               from uplink in Items(Value(UplinksOption, AllUplinks)).Select(int.Parse)
               from fault in Items(Value(ScenariosOption, AllScenarios)).Select(item => Enum.Parse<SimulationFault>(item, ignoreCase: true))
               select new SimulationCase(fault, nodes, size, uplink, seeds, new SimulationTargets()),
        ];

        string? Value(Option<string> option, string all) => isFull && parsed.GetResult(option) is not { Implicit: false } ? all : parsed.GetValue(option);
    }

    private static long SizeOf(string item) => ByteSize.TryParse(item, out var size) ? size.Bytes : 0;

    private static Option<string> List(string name, string description, string byDefault) =>
        new(name) { Description = description, HelpName = "list", DefaultValueFactory = _ => byDefault };

    private static void Check(Option<string> option, Predicate<string> isRight, string allowed) => option.Validators.Add(result =>
    {
        var items = Items(result.GetValueOrDefault<string>());
        if (items.Length == 0 || !Array.TrueForAll(items, isRight))
        {
            result.AddError($"{option.Name} is '{result.GetValueOrDefault<string>()}'; allowed: {allowed}, with commas between");
        }
    });

    private static string[] Items(string? list) => (list ?? string.Empty).Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
