using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A valid OCI image on disk: index, manifest, configuration and gzip layers of random bytes that do not
/// compress. The same seed makes the same image.
/// </summary>
internal sealed class TestImage
{
    private TestImage(Part index, Part manifest, Part config, IReadOnlyList<Part> layers)
    {
        Index = index;
        Manifest = manifest;
        Config = config;
        Layers = layers;
    }

    /// <summary>What a tag points to.</summary>
    public Part Index { get; }

    /// <summary>The only manifest.</summary>
    public Part Manifest { get; }

    /// <summary>The configuration blob.</summary>
    public Part Config { get; }

    /// <summary>The layer blobs.</summary>
    public IReadOnlyList<Part> Layers { get; }

    /// <summary>Configuration and layers.</summary>
    public IEnumerable<Part> Blobs => [Config, .. Layers];

    /// <summary>Everything that a complete pull has.</summary>
    public IEnumerable<Part> All => [Index, Manifest, .. Blobs];

    /// <summary>Makes an image.</summary>
    /// <param name="folder">Where its files are written.</param>
    /// <param name="seed">Decides all of the bytes.</param>
    /// <param name="layerSizes">Bytes in each layer before its gzip and tar frame.</param>
    public static TestImage Generate(string folder, int seed, params int[] layerSizes)
    {
        var random = new Random(seed);
        var layers = new List<Part>();
        var diffIds = new JsonArray();
        for (var i = 0; i < layerSizes.Length; i++)
        {
            var bytes = new byte[layerSizes[i]];
            random.NextBytes(bytes);
            using var tar = new MemoryStream(bytes.Length + 16_384);
            WriteTar(tar, $"layer-{i}.bin", bytes);
            diffIds.Add((JsonNode)Digest.OfSha256(Span(tar)).ToString());

            using var zipped = new MemoryStream(bytes.Length + 65_536);
            using (var gzip = new GZipStream(zipped, CompressionLevel.NoCompression, leaveOpen: true))
            {
                gzip.Write(Span(tar));
            }

            layers.Add(Write(folder, "application/vnd.oci.image.layer.v1.tar+gzip", Span(zipped)));
        }

        var config = WriteJson(folder, "application/vnd.oci.image.config.v1+json", new JsonObject
        {
            ["architecture"] = Architecture,
            ["os"] = "linux",
            ["config"] = new JsonObject { ["Cmd"] = new JsonArray("/nothing") },
            ["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = diffIds },
        });
        var manifest = WriteJson(folder, "application/vnd.oci.image.manifest.v1+json", new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = "application/vnd.oci.image.manifest.v1+json",
            ["config"] = Describe(config),
            ["layers"] = new JsonArray([.. layers.Select(Describe)]),
        });
        var described = Describe(manifest);
        described["platform"] = new JsonObject { ["architecture"] = Architecture, ["os"] = "linux" };
        var index = WriteJson(folder, "application/vnd.oci.image.index.v1+json", new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = "application/vnd.oci.image.index.v1+json",
            ["manifests"] = new JsonArray(described),
        });
        return new TestImage(index, manifest, config, layers);
    }

    private static string Architecture =>
        System.Runtime.InteropServices.RuntimeInformation.OSArchitecture == System.Runtime.InteropServices.Architecture.Arm64 ? "arm64" : "amd64";

    private static void WriteTar(Stream tar, string name, byte[] bytes)
    {
        using var writer = new TarWriter(tar, TarEntryFormat.Ustar, leaveOpen: true);
        using var data = new MemoryStream(bytes, writable: false);
        writer.WriteEntry(new UstarTarEntry(TarEntryType.RegularFile, name)
        {
            DataStream = data,
            Mode = UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead,
            ModificationTime = DateTimeOffset.UnixEpoch,
        });
    }

    private static JsonObject Describe(Part part) => new()
    {
        ["mediaType"] = part.MediaType,
        ["digest"] = part.Digest.ToString(),
        ["size"] = part.Size,
    };

    private static Part WriteJson(string folder, string mediaType, JsonObject json) =>
        Write(folder, mediaType, Encoding.UTF8.GetBytes(json.ToJsonString()));

    private static Part Write(string folder, string mediaType, ReadOnlySpan<byte> bytes)
    {
        var digest = Digest.FromHash(HashAlgorithmName.SHA256, SHA256.HashData(bytes));
        var file = Path.Combine(folder, digest.Hex);
        File.WriteAllBytes(file, bytes);
        return new Part(digest, bytes.Length, mediaType, file);
    }

    private static ReadOnlySpan<byte> Span(MemoryStream stream) => stream.GetBuffer().AsSpan(0, (int)stream.Length);

    /// <summary>One content of the image.</summary>
    internal sealed record Part(Digest Digest, long Size, string MediaType, string File);
}
