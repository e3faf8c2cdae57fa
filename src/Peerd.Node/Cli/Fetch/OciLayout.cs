using System.Text.Json;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Fetch;

/// <summary>
/// Writes an OCI image layout: beside its place first, and renamed when all is there, so that there is never half an
/// image under its name. Disposing without <see cref="Commit"/> leaves nothing.
/// </summary>
internal sealed class OciLayout : IDisposable
{
    private readonly string _path;
    private readonly string _partial;

    /// <summary>Starts a layout.</summary>
    /// <exception cref="IOException">The folder cannot be made.</exception>
    public OciLayout(string path)
    {
        _path = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        _partial = PartialName(_path);
        System.IO.Directory.CreateDirectory(Path.Combine(_partial, "blobs"));
    }

    /// <summary>A name beside this one that nobody has.</summary>
    public static string PartialName(string path) => Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}.partial");

    /// <summary>True when a layout may be made there: nothing is, or an empty folder.</summary>
    public static bool IsFree(string path) => !File.Exists(path) && (!System.IO.Directory.Exists(path) || !System.IO.Directory.EnumerateFileSystemEntries(path).Any());

    /// <summary>The file for the bytes of a content.</summary>
    public Stream Create(Digest digest)
    {
        var folder = Path.Combine(_partial, "blobs", digest.Algorithm);
        System.IO.Directory.CreateDirectory(folder);
        return new FileStream(Path.Combine(folder, digest.Hex), new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write, Share = FileShare.None, BufferSize = 0 });
    }

    /// <summary>Completes the layout with the image's manifest as its only entry and puts it in its place.</summary>
    public void Commit(Descriptor manifest, string? tag)
    {
        File.WriteAllText(Path.Combine(_partial, "oci-layout"), """{"imageLayoutVersion":"1.0.0"}""");
        var entry = manifest with { Annotations = tag is null ? null : new Dictionary<string, string> { ["org.opencontainers.image.ref.name"] = tag } };
        File.WriteAllBytes(
            Path.Combine(_partial, "index.json"),
            JsonSerializer.SerializeToUtf8Bytes(new LayoutIndex(2, "application/vnd.oci.image.index.v1+json", [entry]), ImageDocumentJson.Plain.LayoutIndex));
        if (System.IO.Directory.Exists(_path))
        {
            System.IO.Directory.Delete(_path);
        }

        System.IO.Directory.Move(_partial, _path);
    }

    public void Dispose()
    {
        if (System.IO.Directory.Exists(_partial))
        {
            System.IO.Directory.Delete(_partial, recursive: true);
        }
    }
}
