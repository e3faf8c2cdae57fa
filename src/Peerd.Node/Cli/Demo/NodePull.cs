using Peerd.Node.Cli.Fetch;

namespace Peerd.Node.Cli.Demo;

/// <summary>One node of the demo pulling the image through its own facade, keeping no byte of it.</summary>
internal sealed class NodePull(IDemoNode node, GeneratedImage image, ImageReference reference, Platform platform, TimeProvider time)
{
    private static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(60);

    private readonly PullProgress _progress = new();
    private volatile DemoNodeReport? _report;

    /// <summary>How far it is.</summary>
    public ProgressLine Progress => new(
        node.Name,
        _progress.ReceivedBytes,
        image.TotalBytes,
        _report is not { } report ? ProgressState.Running : report.Ok ? ProgressState.Done : ProgressState.Failed);

    /// <summary>Waits for the start that all nodes have in common, then pulls.</summary>
    public async Task<DemoNodeReport> RunAsync(Task<long> start, CancellationToken cancellationToken)
    {
        using var http = FacadeClient.CreateHttpClient();
        var facade = new FacadeClient(http, node.Facade, reference.Registry, IdleLimit, time);
        var pull = new ImagePull(facade, reference, platform, _ => Stream.Null, _progress);
        var startedAt = await start.WaitAsync(cancellationToken);

        // Onto a thread of its own: otherwise the first nodes would be well on their way before the last one starts.
        var outcome = await Task.Run(() => pull.RunAsync(cancellationToken), cancellationToken);
        var seconds = time.GetElapsedTime(startedAt).TotalSeconds;

        var error = outcome.Error ?? Missing(outcome.Image!);
        var traffic = node.Traffic;
        return _report = new DemoNodeReport(node.Name, Math.Round(seconds, 3), traffic.OriginBytes, traffic.PeerBytes, traffic.CacheBytes, error is null) { Error = error };
    }

    /// <summary>The pull has verified each content that the node led it to; that these are the image is for the demo to know.</summary>
    private string? Missing(PulledImage pulled)
    {
        var got = pulled.Contents.Select(content => content.Digest).ToHashSet(StringComparer.Ordinal);
        return image.Contents.FirstOrDefault(content => !got.Contains(content.Digest.ToString())) is { } missing ? $"the node served another image: {missing.Digest} is missing" : null;
    }
}
