using System.Formats.Tar;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Peerd.Contracts;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A valid image on disk: index, manifest, configuration and layers of random bytes that do not compress, and the same with
/// other bytes for a platform that nobody here pulls. The same seed makes the same image.
/// </summary>
internal sealed class TestImage
{
    private const string OtherArchitecture = "s390x";
    private const int OtherLayerSize = 1000;

    private TestImage(Part index, PlatformImage image, PlatformImage other)
    {
        Index = index;
        Manifest = image.Manifest;
        Config = image.Config;
        Layers = image.Layers;
        Other = other;
    }

    /// <summary>What a tag points to.</summary>
    public Part Index { get; }

    /// <summary>The manifest for this machine's platform.</summary>
    public Part Manifest { get; }

    /// <summary>The configuration blob.</summary>
    public Part Config { get; }

    /// <summary>The layer blobs.</summary>
    public IReadOnlyList<Part> Layers { get; }

    /// <summary>Configuration and layers.</summary>
    public IEnumerable<Part> Blobs => [Config, .. Layers];

    /// <summary>Everything that a complete pull has.</summary>
    public IEnumerable<Part> All => [Index, Manifest, .. Blobs];

    /// <summary>The same image for a platform that is not this machine's.</summary>
    public PlatformImage Other { get; }

    /// <summary>Bytes of a complete pull.</summary>
    public long Size => All.Sum(part => part.Size);

    /// <summary>Makes an OCI image with gzip layers.</summary>
    /// <param name="folder">Where its files are written.</param>
    /// <param name="seed">Decides all of the bytes.</param>
    /// <param name="layerSizes">Bytes in each layer before its gzip and tar frame.</param>
    public static TestImage Generate(string folder, int seed, params int[] layerSizes) =>
        Generate(folder, seed, ImageForm.OciGzip, layerSizes);

    /// <summary>Makes an image.</summary>
    /// <param name="folder">Where its files are written.</param>
    /// <param name="seed">Decides all of the bytes.</param>
    /// <param name="form">Its media types and compression.</param>
    /// <param name="layerSizes">Bytes in each layer before its compression and tar frame.</param>
    public static TestImage Generate(string folder, int seed, ImageForm form, params int[] layerSizes)
    {
        var random = new Random(seed);
        var types = ImageMediaTypes.Of(form);
        var image = GeneratePlatform(folder, random, types, Architecture, layerSizes);
        var other = GeneratePlatform(folder, random, types, OtherArchitecture, [OtherLayerSize]);
        var index = WriteJson(folder, types.Index, new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = types.Index,
            ["manifests"] = new JsonArray(DescribePlatform(other, OtherArchitecture), DescribePlatform(image, Architecture)),
        });
        return new TestImage(index, image, other);
    }

    private static PlatformImage GeneratePlatform(string folder, Random random, ImageMediaTypes types, string architecture, int[] layerSizes)
    {
        var layers = new List<Part>();
        var diffIds = new JsonArray();
        for (var i = 0; i < layerSizes.Length; i++)
        {
            var bytes = new byte[layerSizes[i]];
            random.NextBytes(bytes);
            using var tar = new MemoryStream(bytes.Length + 16_384);
            WriteTar(tar, $"layer-{i}.bin", bytes);
            diffIds.Add((JsonNode)Digest.OfSha256(Span(tar)).ToString());

            using var compressed = new MemoryStream(bytes.Length + 65_536);
            using (var compressor = types.Compress(compressed))
            {
                compressor.Write(Span(tar));
            }

            layers.Add(Write(folder, types.Layer, Span(compressed)));
        }

        var config = WriteJson(folder, types.Config, new JsonObject
        {
            ["architecture"] = architecture,
            ["os"] = "linux",
            ["config"] = new JsonObject { ["Cmd"] = new JsonArray("/nothing") },
            ["rootfs"] = new JsonObject { ["type"] = "layers", ["diff_ids"] = diffIds },
        });
        var manifest = WriteJson(folder, types.Manifest, new JsonObject
        {
            ["schemaVersion"] = 2,
            ["mediaType"] = types.Manifest,
            ["config"] = Describe(config),
            ["layers"] = new JsonArray([.. layers.Select(Describe)]),
        });
        return new PlatformImage(manifest, config, layers);
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

    private static JsonObject DescribePlatform(PlatformImage image, string architecture)
    {
        var described = Describe(image.Manifest);
        described["platform"] = new JsonObject { ["architecture"] = architecture, ["os"] = "linux" };
        return described;
    }

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

    /// <summary>The contents of the image for one platform.</summary>
    internal sealed record PlatformImage(Part Manifest, Part Config, IReadOnlyList<Part> Layers);
}
