namespace Peerd.Node.Cli.Demo;

/// <summary>Full nodes inside the process of the demo.</summary>
internal static class DemoNodes
{
    public static Task<IReadOnlyList<IDemoNode>> StartAsync(DemoNodesRequest request, CancellationToken cancellationToken) =>
        throw new NotSupportedException("This build cannot start nodes.");
}
