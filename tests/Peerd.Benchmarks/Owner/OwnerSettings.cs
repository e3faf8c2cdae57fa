using System.CommandLine;
using System.Globalization;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Owner;

/// <summary>What the owner benchmark is asked to do.</summary>
/// <param name="Nodes">Requesters of each herd.</param>
/// <param name="Rate">Bits per second of a requester's link.</param>
/// <param name="Connections">Connections that the requesters share.</param>
internal sealed record OwnerSettings(IReadOnlyList<int> Nodes, long Rate, int Connections)
{
    private const int MostNodes = 5000;

    private static readonly Option<int[]> NodesOption = new("--nodes")
    {
        Description = "How many requesters there are at once; several herds with commas between.",
        HelpName = "list",
        DefaultValueFactory = _ => [100, 1000],
        CustomParser = result =>
        {
            var items = result.Tokens[0].Value.Split(',', StringSplitOptions.TrimEntries);
            var numbers = Array.ConvertAll(items, item => int.TryParse(item, NumberStyles.None, CultureInfo.InvariantCulture, out var number) ? number : 0);
            if (Array.Exists(numbers, number => number is < 2 or > MostNodes))
            {
                result.AddError($"--nodes is '{result.Tokens[0].Value}'; allowed: numbers from 2 to {MostNodes}, with commas between");
            }

            return numbers;
        },
    };

    // Not slower: a piece would take longer than the lease of its grant, and requesters here tell of whole pieces only.
    private static readonly Option<int> RateOption = CommonOptions.Number("--rate", "Mbit/s of a requester's link.", 1000, 100, 100_000);
    private static readonly Option<int> ConnectionsOption = CommonOptions.Number("--connections", "Connections that the requesters share.", 8, 1, MostNodes);

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, RateOption, ConnectionsOption];

    public static OwnerSettings From(ParseResult parsed) =>
        new(parsed.GetValue(NodesOption)!, parsed.GetValue(RateOption) * 1_000_000L, parsed.GetValue(ConnectionsOption));
}
