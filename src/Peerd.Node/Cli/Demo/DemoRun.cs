using Peerd.Node.Cli.Fetch;

namespace Peerd.Node.Cli.Demo;

/// <summary>
/// One <c>peerd demo</c>: a registry with a generated image and some nodes, all in this process, and every node pulls the
/// image at the same moment. Leaves nothing behind, however it ends.
/// </summary>
internal sealed class DemoRun(DemoOptions options, StartNodes startNodes, ProgressView view, TimeProvider time)
{
    private const string Registry = "registry.demo";
    private const string Repository = "peerd/demo";
    private const string Tag = "v1";

    public async Task<DemoReport> RunAsync(CancellationToken cancellationToken)
    {
        var image = await Task.Run(() => GeneratedImage.Create(options.Image, cancellationToken), cancellationToken);
        await using var registry = await DemoRegistry.StartAsync(image, Repository, Tag, cancellationToken);
        var root = System.IO.Directory.CreateTempSubdirectory("peerd-demo-");
        IReadOnlyList<IDemoNode> nodes = [];
        try
        {
            nodes = await startNodes(new DemoNodesRequest(options.Nodes, Registry, registry.Endpoint, root.FullName), cancellationToken);
            return await PullAsync(image, registry.Counts, nodes, cancellationToken);
        }
        finally
        {
            try
            {
                await DemoNodes.StopAsync(nodes, time);
            }
            finally
            {
                root.Delete(recursive: true);
            }
        }
    }

    private async Task<DemoReport> PullAsync(GeneratedImage image, OriginCounts counts, IReadOnlyList<IDemoNode> nodes, CancellationToken cancellationToken)
    {
        if (!ImageReference.TryParse($"{Registry}/{Repository}:{Tag}", out var reference, out var error))
        {
            throw new InvalidOperationException(error);
        }

        var platform = new Platform("linux", options.Image.Architecture);
        var pulls = nodes.Select(node => new NodePull(node, image, reference, platform, time)).ToArray();
        var start = new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously);
        var work = Task.WhenAll(pulls.Select(pull => pull.RunAsync(start.Task, cancellationToken)).ToArray());
        start.SetResult(time.GetTimestamp());
        await view.WatchAsync(() => [.. pulls.Select(pull => pull.Progress)], work);
        var perNode = await work;

        return new DemoReport(
            nodes.Count,
            image.TotalBytes,
            counts.BodyBytes,
            counts.Requests,
            Math.Round((double)counts.BodyBytes / image.TotalBytes, 4),
            perNode.Max(node => node.Seconds),
            perNode);
    }
}
