using System.IO.Compression;
using ZstdSharp;

namespace Peerd.EndToEnd.Harness;

/// <summary>The media types of an image and how its layers are compressed.</summary>
/// <param name="Index">Of what a tag points to.</param>
/// <param name="Manifest">Of a platform's manifest.</param>
/// <param name="Config">Of the configuration blob.</param>
/// <param name="Layer">Of all layers.</param>
/// <param name="Compress">A stream that writes to another one, which it leaves open.</param>
internal sealed record ImageMediaTypes(string Index, string Manifest, string Config, string Layer, Func<Stream, Stream> Compress)
{
    private const string Oci = "application/vnd.oci.image.";
    private const string Docker = "application/vnd.docker.";

    /// <summary>Those of this form.</summary>
    public static ImageMediaTypes Of(ImageForm form) => form switch
    {
        ImageForm.OciGzip => OciWith("gzip", Gzip),
        ImageForm.OciZstd => OciWith("zstd", output => new CompressionStream(output, leaveOpen: true)),
        ImageForm.DockerGzip => new(
            Docker + "distribution.manifest.list.v2+json", Docker + "distribution.manifest.v2+json", Docker + "container.image.v1+json",
            Docker + "image.rootfs.diff.tar.gzip", Gzip),
        _ => throw new ArgumentOutOfRangeException(nameof(form), form, "unknown form"),
    };

    private static ImageMediaTypes OciWith(string compression, Func<Stream, Stream> compress) =>
        new(Oci + "index.v1+json", Oci + "manifest.v1+json", Oci + "config.v1+json", Oci + "layer.v1.tar+" + compression, compress);

    private static GZipStream Gzip(Stream output) => new(output, CompressionLevel.NoCompression, leaveOpen: true);
}
