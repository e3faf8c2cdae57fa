using System.Diagnostics;

namespace Peerd.Node.Cli.Fetch;

/// <summary>One <c>peerd fetch</c>: reads, verifies and stores what was asked for, and tells where it came from.</summary>
internal sealed class FetchRun(FetchOptions options, ProgressView view, TimeProvider time)
{
    private static readonly TimeSpan IdleLimit = TimeSpan.FromSeconds(60);

    private readonly PullProgress _progress = new();

    /// <summary>Runs to the end; whatever goes wrong on the way is in the report.</summary>
    public async Task<FetchReport> RunAsync(CancellationToken cancellationToken)
    {
        using var http = FacadeClient.CreateHttpClient();
        using var tokens = new AnonymousTokens();
        var facade = new FacadeClient(http, options.Facade, options.Target.Registry, IdleLimit, time, tokens);
        var before = await ReadNodeAsync(cancellationToken);

        var start = time.GetTimestamp();
        var work = options.Target switch
        {
            ImageTarget image => FetchImageAsync(facade, image.Image, cancellationToken),
            BlobTarget blob => FetchBlobAsync(facade, blob, cancellationToken),
            _ => throw new UnreachableException(),
        };
        await view.WatchAsync(() => [.. _progress.Contents.Select(content => Line(content, work))], work);
        var report = await work with { Seconds = Math.Round(time.GetElapsedTime(start).TotalSeconds, 3) };

        var after = before is null ? null : await ReadNodeAsync(cancellationToken);
        return report with { Sources = FetchSources.Between(before, after, report.Bytes) };
    }

    private async Task<NodeBytes?> ReadNodeAsync(CancellationToken cancellationToken) =>
        options.Node is null ? null : await NodeBytes.ReadAsync(options.Node, time, cancellationToken);

    private static ProgressLine Line(ContentProgress content, Task work) => new(
        $"{content.Name} {content.Digest.Hex[..12]}",
        content.ReceivedBytes,
        content.Size,
        content.IsVerified ? ProgressState.Done : work.IsCompleted ? ProgressState.Failed : ProgressState.Running);

    private async Task<FetchReport> FetchImageAsync(FacadeClient facade, ImageReference image, CancellationToken cancellationToken)
    {
        OciLayout? layout = null;
        try
        {
            layout = options.Output is null ? null : new OciLayout(options.Output);
            var pull = new ImagePull(facade, image, options.Platform, layout is null ? _ => Stream.Null : layout.Create, _progress);
            var outcome = await pull.RunAsync(cancellationToken);
            if (outcome.Image is not { } pulled)
            {
                return Failed(outcome.Error!);
            }

            layout?.Commit(pulled.Manifest, image.Tag);
            return Fetched(pulled.Root.Digest!, pulled.Contents);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return Failed($"{options.Output} cannot be written: {exception.Message}");
        }
        finally
        {
            layout?.Dispose();
        }
    }

    private async Task<FetchReport> FetchBlobAsync(FacadeClient facade, BlobTarget blob, CancellationToken cancellationToken)
    {
        var partial = options.Output is null ? null : OciLayout.PartialName(options.Output);
        try
        {
            var content = _progress.Start("blob", blob.Digest, 0);
            await using (var destination = partial is null ? Stream.Null : CreateFile(partial))
            {
                await facade.ReadBlobAsync(blob.Repository, blob.Digest, null, destination, content, cancellationToken);
            }

            if (partial is not null)
            {
                File.Move(partial, options.Output!, overwrite: true);
            }

            return Fetched(blob.Digest.ToString(), [new Descriptor(null, blob.Digest.ToString(), content.ReceivedBytes)]);
        }
        catch (PullException exception)
        {
            return Failed(exception.Message);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return Failed($"{options.Output} cannot be written: {exception.Message}");
        }
        finally
        {
            if (partial is not null)
            {
                File.Delete(partial);
            }
        }
    }

    private static FileStream CreateFile(string path)
    {
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        return new FileStream(path, new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 });
    }

    private FetchReport Fetched(string digest, IReadOnlyList<Descriptor> contents) => new(
        true,
        null,
        options.Target.ToString(),
        digest,
        contents.Sum(content => content.Size),
        0,
        null,
        options.Output,
        [.. contents.Select(content => new FetchedContent(content.Digest, content.MediaType, content.Size))]);

    private FetchReport Failed(string error) => new(false, error, options.Target.ToString(), null, 0, 0, null, null, []);
}
