using Peerd.Contracts;

namespace Peerd.Node.Cli.Fetch;

/// <summary>An image that was pulled and verified.</summary>
/// <param name="Root">What the reference stands for: an index or a manifest.</param>
/// <param name="Manifest">The manifest of the chosen platform; the root itself when that is no index.</param>
/// <param name="Contents">All contents that were read, each once: the root first.</param>
internal sealed record PulledImage(Descriptor Root, Descriptor Manifest, IReadOnlyList<Descriptor> Contents)
{
    public long Bytes => Contents.Sum(content => content.Size);
}

/// <summary>How a pull ended: with an image or with one line that says why not.</summary>
internal sealed record PullOutcome(PulledImage? Image, string? Error)
{
    public bool IsOk => Image is not null;
}

/// <summary>
/// Pulls an image through a facade like containerd does: HEAD of the reference, index, manifest, then config and layers,
/// three at a time. Every content is checked against its digest.
/// </summary>
/// <param name="facade">Where to read.</param>
/// <param name="reference">What to pull.</param>
/// <param name="platform">Which of the images of an index.</param>
/// <param name="create">Gives the stream that takes the bytes of a content before they are verified.</param>
/// <param name="progress">Is told how it goes.</param>
internal sealed class ImagePull(FacadeClient facade, ImageReference reference, Platform platform, Func<Digest, Stream> create, PullProgress progress)
{
    private const int ParallelReads = 3;

    public async Task<PullOutcome> RunAsync(CancellationToken cancellationToken)
    {
        try
        {
            return new PullOutcome(await PullAsync(cancellationToken), null);
        }
        catch (PullException exception)
        {
            return new PullOutcome(null, exception.Message);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            return new PullOutcome(null, $"{reference} cannot be written: {exception.Message}");
        }
    }

    private async Task<PulledImage> PullAsync(CancellationToken cancellationToken)
    {
        var resolved = await facade.ResolveAsync(reference.Repository, reference.Wanted, cancellationToken);
        if (reference.Digest is { } asked && asked != resolved.Digest)
        {
            throw new PullException($"{reference}: the node answers with another digest, {resolved.Digest}");
        }

        var root = new Descriptor(resolved.MediaType, resolved.Digest.ToString(), resolved.Size);
        var (document, mediaType) = await ReadDocumentAsync(root, IsIndex(resolved.MediaType) ? "index" : "manifest", cancellationToken);
        root = root with { MediaType = mediaType };
        if (document.Manifests is null)
        {
            return await ReadBlobsAsync(root, root, document, cancellationToken);
        }

        var manifest = Choose(document.Manifests);
        (document, mediaType) = await ReadDocumentAsync(manifest, "manifest", cancellationToken);
        return document.Manifests is null
            ? await ReadBlobsAsync(root, manifest with { MediaType = mediaType }, document, cancellationToken)
            : throw new PullException($"{reference}: an index within an index is not supported");
    }

    private async Task<(ImageDocument Document, string? MediaType)> ReadDocumentAsync(Descriptor descriptor, string name, CancellationToken cancellationToken)
    {
        var digest = Digest.Parse(descriptor.Digest!);
        var content = progress.Start(name, digest, descriptor.Size);
        var bytes = await facade.ReadManifestAsync(reference.Repository, digest, descriptor.MediaType, content, cancellationToken);
        await using (var stream = create(digest))
        {
            await stream.WriteAsync(bytes, cancellationToken);
        }

        var document = ImageDocument.Parse(bytes, $"{name} {digest}");
        return (document, document.MediaType ?? descriptor.MediaType);
    }

    private static bool IsIndex(string? mediaType) => mediaType is "application/vnd.oci.image.index.v1+json" or "application/vnd.docker.distribution.manifest.list.v2+json";

    private Descriptor Choose(IReadOnlyList<Descriptor> manifests) =>
        manifests.FirstOrDefault(manifest => manifest.Platform is { } other && platform.Accepts(other.ToPlatform()))
        ?? throw new PullException($"{reference} has no image for {platform}; it has {string.Join(", ", manifests.Select(manifest => manifest.Platform?.ToPlatform().ToString() ?? "one without a platform").Distinct())}");

    private async Task<PulledImage> ReadBlobsAsync(Descriptor root, Descriptor manifest, ImageDocument document, CancellationToken cancellationToken)
    {
        // An image may have the same layer twice.
        (Descriptor Blob, string Name)[] blobs =
        [
            .. document.Layers!.Select((layer, i) => (layer, $"layer {i + 1} of {document.Layers!.Count}"))
                .Prepend((document.Config!, "config"))
                .DistinctBy(blob => blob.Item1.Digest),
        ];
        await Parallel.ForEachAsync(
            blobs,
            new ParallelOptions { MaxDegreeOfParallelism = ParallelReads, CancellationToken = cancellationToken },
            async (blob, stop) => await ReadBlobAsync(blob.Blob, blob.Name, stop));

        return new PulledImage(root, manifest, [.. new[] { root, manifest }.Concat(blobs.Select(blob => blob.Blob)).DistinctBy(content => content.Digest)]);
    }

    private async Task ReadBlobAsync(Descriptor blob, string name, CancellationToken cancellationToken)
    {
        var digest = Digest.Parse(blob.Digest!);
        var content = progress.Start(name, digest, blob.Size);
        await using var destination = create(digest);
        await facade.ReadBlobAsync(reference.Repository, digest, blob.MediaType, destination, content, cancellationToken);
        await destination.FlushAsync(cancellationToken);
    }
}
