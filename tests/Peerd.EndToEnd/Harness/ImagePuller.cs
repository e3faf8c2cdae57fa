using Peerd.Node.Cli.Fetch;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Pulls an image from within a host with the code of <c>peerd fetch</c>: three contents at a time, every digest checked, nothing
/// stored. It runs in this process because starting many programs at once would cost more than the pulls that are looked at.
/// </summary>
internal sealed class ImagePuller(LabHost host, Uri source, Upstream registry, string repository, string tag)
{
    private static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(60);
    private static readonly TimeSpan RetryPause = TimeSpan.FromMilliseconds(200);

    private readonly PullProgress _progress = new();

    /// <summary>Bytes that have arrived so far.</summary>
    public long ReceivedBytes => _progress.ReceivedBytes;

    /// <summary>Pulls once.</summary>
    /// <returns>Null when everything is here and right, else what went wrong.</returns>
    public async Task<string?> PullAsync(CancellationToken cancellationToken)
    {
        using var http = host.CreateClient();
        var facade = new FacadeClient(http, source, registry.Name, IdleLimit, TimeProvider.System);
        var text = $"{registry.Name}/{repository}:{tag}";
        return ImageReference.TryParse(text, out var reference, out var error)
            ? (await new ImagePull(facade, reference, Platform.Local, _ => Stream.Null, _progress).RunAsync(cancellationToken)).Error
            : throw new ArgumentException($"{text}: {error}");
    }

    /// <summary>Pulls until it succeeds, as kubelet does.</summary>
    public async Task PullUntilDoneAsync(CancellationToken cancellationToken)
    {
        while (await PullAsync(cancellationToken) is not null)
        {
            await Task.Delay(RetryPause, cancellationToken);
        }
    }
}
