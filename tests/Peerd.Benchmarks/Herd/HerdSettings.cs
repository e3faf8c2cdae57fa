using System.CommandLine;
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
    private static readonly Option<string> UplinksOption = List("--uplinks", "Links of the registry, in links of a node.", "4,1");
    private static readonly Option<string> LayersOption = List("--layers", "Layers of the images.", "4,1");
    private static readonly Option<string> ModesOption = List(
        "--modes", $"What is measured, of {string.Join(", ", Enum.GetNames<HerdMode>())}.", string.Join(',', Enum.GetNames<HerdMode>()).ToLowerInvariant());

    private static readonly Option<int> WarmUpOption = CommonOptions.Number("--warm-up", "MiB of another image that new nodes pull before they are measured.", 16, 0, 1024);

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, RateOption, UplinksOption, LayersOption, ModesOption, WarmUpOption];

    static HerdSettings()
    {
        Check(UplinksOption, item => int.TryParse(item, out var number) && number is >= 1 and <= 1000, "numbers from 1 to 1000");
        Check(LayersOption, item => int.TryParse(item, out var number) && number is >= 1 and <= 32, "numbers from 1 to 32");
        Check(ModesOption, item => !int.TryParse(item, out _) && Enum.TryParse<HerdMode>(item, ignoreCase: true, out _), string.Join(", ", Enum.GetNames<HerdMode>()).ToLowerInvariant());
    }

    public static HerdSettings From(ParseResult parsed) => new(
        parsed.GetValue(NodesOption),
        parsed.GetValue(RateOption) * 1_000_000L,
        [.. Items(parsed.GetValue(UplinksOption)).Select(int.Parse).Distinct()],
        [.. Items(parsed.GetValue(LayersOption)).Select(int.Parse).Distinct()],
        [.. Items(parsed.GetValue(ModesOption)).Select(item => Enum.Parse<HerdMode>(item, ignoreCase: true)).Distinct().Order()],
        (long)parsed.GetValue(WarmUpOption) << 20);

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
