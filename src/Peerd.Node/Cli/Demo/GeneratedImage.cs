using System.Buffers;
using System.IO.Hashing;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Demo;

/// <summary>What image to make.</summary>
/// <param name="Size">Bytes in the files of all layers together.</param>
/// <param name="Layers">How many layers share them, at least 1.</param>
/// <param name="Seed">Images of different seeds have no layer in common.</param>
/// <param name="Architecture">The platform is linux with this architecture.</param>
internal sealed record GeneratedImageOptions(long Size, int Layers, ulong Seed = 1, string Architecture = "amd64");

/// <summary>One content of an image: index, manifest, config or layer.</summary>
internal sealed record ImageContent(Digest Digest, string MediaType, GeneratedBytes Bytes)
{
    public long Size => Bytes.Length;

    public Stream OpenRead() => Bytes.OpenRead();
}

/// <summary>
/// A valid OCI image (index, manifest, config, gzip layers of tar archives with incompressible files) that is a function
/// of its options alone. Layers are generated whenever they are read, so that an image of any size costs no memory and no disk.
/// </summary>
internal sealed class GeneratedImage
{
    public const string IndexMediaType = "application/vnd.oci.image.index.v1+json";
    public const string ManifestMediaType = "application/vnd.oci.image.manifest.v1+json";
    public const string ConfigMediaType = "application/vnd.oci.image.config.v1+json";
    public const string LayerMediaType = "application/vnd.oci.image.layer.v1.tar+gzip";

    private const string Created = "2024-01-01T00:00:00Z";

    /// <summary>Well below the 8 GiB that a tar header can tell.</summary>
    private const long LargestFile = 1L << 30;

    // Media types keep their plus sign, as in the documents of other tools.
    private static readonly JsonWriterOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private GeneratedImage(ImageContent index, ImageContent manifest, ImageContent config, IReadOnlyList<ImageContent> layers)
    {
        Index = index;
        Manifest = manifest;
        Config = config;
        Layers = layers;
        Contents = [index, manifest, config, .. layers];
        TotalBytes = Contents.Sum(content => content.Size);
    }

    public ImageContent Index { get; }

    public ImageContent Manifest { get; }

    public ImageContent Config { get; }

    public IReadOnlyList<ImageContent> Layers { get; }

    /// <summary>Index, manifest, config and layers, in this order.</summary>
    public IReadOnlyList<ImageContent> Contents { get; }

    /// <summary>Bytes of all contents.</summary>
    public long TotalBytes { get; }

    /// <summary>Makes the image: the work is the hashing of the layers, on all processors.</summary>
    public static GeneratedImage Create(GeneratedImageOptions options, CancellationToken cancellationToken = default)
    {
        var layers = new (ImageContent Content, Digest DiffId)[options.Layers];
        Parallel.For(0, layers.Length, new ParallelOptions { CancellationToken = cancellationToken }, layer => layers[layer] = CreateLayer(options, layer, cancellationToken));

        var config = Document(ConfigMediaType, json => WriteConfig(json, options, layers));
        var manifest = Document(ManifestMediaType, json => WriteManifest(json, config, layers));
        var index = Document(IndexMediaType, json => WriteIndex(json, options, manifest));
        return new GeneratedImage(index, manifest, config, [.. layers.Select(layer => layer.Content)]);
    }

    private static (ImageContent Content, Digest DiffId) CreateLayer(GeneratedImageOptions options, int layer, CancellationToken cancellationToken)
    {
        // The first layers take the bytes that do not divide evenly.
        var size = (options.Size / options.Layers) + (layer < options.Size % options.Layers ? 1 : 0);
        List<(string Path, GeneratedBytes Content)> files =
        [
            ($"demo/layer-{layer}.txt", new LiteralBytes(Encoding.ASCII.GetBytes($"Layer {layer + 1} of {options.Layers}, seed {options.Seed}\n"))),
        ];
        for (var (start, number) = (0L, 0); start < size; start += LargestFile, number++)
        {
            var seed = RandomBytes.Seed(RandomBytes.Seed(options.Seed, layer), number);
            files.Add(($"demo/layer-{layer}-{number}.bin", new RandomBytes(Math.Min(LargestFile, size - start), seed)));
        }

        var tar = GeneratedTar.Of(files);
        var crc = new Crc32();
        var diffId = Hash(tar, crc, cancellationToken);
        var gzip = new StoredGzip(tar, crc.GetCurrentHashAsUInt32());
        return (new ImageContent(Hash(gzip, null, cancellationToken), LayerMediaType, gzip), diffId);
    }

    private static Digest Hash(GeneratedBytes bytes, Crc32? crc, CancellationToken cancellationToken)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = ArrayPool<byte>.Shared.Rent(256 * 1024);
        for (var offset = 0L; offset < bytes.Length;)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var block = buffer.AsSpan(0, (int)Math.Min(buffer.Length, bytes.Length - offset));
            bytes.Read(offset, block);
            hash.AppendData(block);
            crc?.Append(block);
            offset += block.Length;
        }

        ArrayPool<byte>.Shared.Return(buffer);
        return Digest.FromHash(HashAlgorithmName.SHA256, hash.GetHashAndReset());
    }

    private static ImageContent Document(string mediaType, Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Plain))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return new ImageContent(Digest.OfSha256(buffer.WrittenSpan), mediaType, new LiteralBytes(buffer.WrittenMemory));
    }

    private static void WriteConfig(Utf8JsonWriter json, GeneratedImageOptions options, (ImageContent Content, Digest DiffId)[] layers)
    {
        json.WriteString("created", Created);
        json.WriteString("architecture", options.Architecture);
        json.WriteString("os", "linux");
        json.WriteStartObject("config");
        json.WriteEndObject();
        json.WriteStartObject("rootfs");
        json.WriteString("type", "layers");
        json.WriteStartArray("diff_ids");
        foreach (var (_, diffId) in layers)
        {
            json.WriteStringValue(diffId.ToString());
        }

        json.WriteEndArray();
        json.WriteEndObject();
        json.WriteStartArray("history");
        for (var layer = 0; layer < layers.Length; layer++)
        {
            json.WriteStartObject();
            json.WriteString("created", Created);
            json.WriteString("created_by", $"peerd demo, layer {layer}");
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteManifest(Utf8JsonWriter json, ImageContent config, (ImageContent Content, Digest DiffId)[] layers)
    {
        json.WriteNumber("schemaVersion", 2);
        json.WriteString("mediaType", ManifestMediaType);
        json.WriteStartObject("config");
        WriteDescriptor(json, config);
        json.WriteEndObject();
        json.WriteStartArray("layers");
        foreach (var (layer, _) in layers)
        {
            json.WriteStartObject();
            WriteDescriptor(json, layer);
            json.WriteEndObject();
        }

        json.WriteEndArray();
    }

    private static void WriteIndex(Utf8JsonWriter json, GeneratedImageOptions options, ImageContent manifest)
    {
        json.WriteNumber("schemaVersion", 2);
        json.WriteString("mediaType", IndexMediaType);
        json.WriteStartArray("manifests");
        json.WriteStartObject();
        WriteDescriptor(json, manifest);
        json.WriteStartObject("platform");
        json.WriteString("architecture", options.Architecture);
        json.WriteString("os", "linux");
        json.WriteEndObject();
        json.WriteEndObject();
        json.WriteEndArray();
    }

    private static void WriteDescriptor(Utf8JsonWriter json, ImageContent content)
    {
        json.WriteString("mediaType", content.MediaType);
        json.WriteString("digest", content.Digest.ToString());
        json.WriteNumber("size", content.Size);
    }
}
