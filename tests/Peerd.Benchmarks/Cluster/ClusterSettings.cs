using System.CommandLine;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Cluster;

/// <summary>What the membership benchmark is asked to do.</summary>
/// <param name="Nodes">Nodes of the large cluster.</param>
/// <param name="Churn">Nodes per second that go or come, half of them each.</param>
/// <param name="Heartbeats">Nodes per second whose kubelet says that nothing has changed.</param>
/// <param name="Length">How long each of the two lasts.</param>
internal sealed record ClusterSettings(int Nodes, int Churn, int Heartbeats, TimeSpan Length)
{
    /// <summary>Nodes of the cluster that the large one is compared with.</summary>
    public const int FewNodes = 50;

    private const int MostNodes = 50_000;
    private const int MostChanges = 2_000;

    private static readonly Option<int> NodesOption = CommonOptions.Number("--nodes", "Nodes of the cluster.", 5_000, 2 * FewNodes, MostNodes);
    private static readonly Option<int> ChurnOption = CommonOptions.Number("--churn", "Nodes per second that go or come.", 50, 2, MostChanges);
    private static readonly Option<int> HeartbeatsOption = CommonOptions.Number("--heartbeats", "Nodes per second that are written without a change; 5,000 real ones do 17.", 500, 1, MostChanges);
    private static readonly Option<int> SecondsOption = CommonOptions.Number("--seconds", "How long heartbeats, and then churn, go on.", 20, 2, 3600);

    public static IReadOnlyList<Option> Options { get; } = [NodesOption, ChurnOption, HeartbeatsOption, SecondsOption];

    public static ClusterSettings From(ParseResult parsed) => new(
        parsed.GetValue(NodesOption), parsed.GetValue(ChurnOption), parsed.GetValue(HeartbeatsOption), TimeSpan.FromSeconds(parsed.GetValue(SecondsOption)));
}
