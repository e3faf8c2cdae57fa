using System.Formats.Tar;
using System.IO.Compression;
using System.Text.Json;
using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli.Demo;

public class GeneratedImageTests
{
    private static readonly GeneratedImageOptions Small = new(1_000_003, 3);

    [Fact]
    public void Create_KnownSeed_HasTheSameDigestOnEveryMachine() =>
        Assert.Equal("sha256:349638d31987fcacec8055714168d05ff9ff21cc687cbc33fae1d9f913e238b7", GeneratedImage.Create(Small).Index.Digest.ToString());

    [Fact]
    public void Create_OtherSeed_SharesNoLayer()
    {
        var first = GeneratedImage.Create(Small);
        var second = GeneratedImage.Create(Small with { Seed = 2 });

        Assert.Empty(first.Contents.Select(content => content.Digest).Intersect(second.Contents.Select(content => content.Digest)));
        Assert.Equal(3, first.Layers.Select(layer => layer.Digest).Distinct().Count());
    }

    [Fact]
    public void Create_AnyContent_HasTheDigestAndSizeThatItIsNamedBy()
    {
        var image = GeneratedImage.Create(Small);

        Assert.All(image.Contents, content =>
        {
            var bytes = ReadAll(content.OpenRead());
            Assert.Equal(content.Size, bytes.Length);
            Assert.Equal(content.Digest, Digest.OfSha256(bytes));
        });
        Assert.Equal(image.Contents.Sum(content => content.Size), image.TotalBytes);
        Assert.InRange(image.TotalBytes, Small.Size, Small.Size + 20_000);
    }

    [Fact]
    public void Create_Documents_PointFromIndexToLayers()
    {
        var image = GeneratedImage.Create(Small with { Architecture = "arm64" });

        var index = Json(image.Index);
        Assert.Equal(GeneratedImage.IndexMediaType, index.GetProperty("mediaType").GetString());
        var entry = Assert.Single(index.GetProperty("manifests").EnumerateArray());
        AssertDescribes(entry, image.Manifest);
        Assert.Equal("arm64", entry.GetProperty("platform").GetProperty("architecture").GetString());

        var manifest = Json(image.Manifest);
        Assert.Equal(GeneratedImage.ManifestMediaType, manifest.GetProperty("mediaType").GetString());
        AssertDescribes(manifest.GetProperty("config"), image.Config);
        Assert.Collection(manifest.GetProperty("layers").EnumerateArray(), [.. image.Layers.Select(layer => (Action<JsonElement>)(element => AssertDescribes(element, layer)))]);
    }

    [Fact]
    public void Create_Layers_UnpackAndMatchTheirDiffIds()
    {
        var image = GeneratedImage.Create(Small);
        var diffIds = Json(image.Config).GetProperty("rootfs").GetProperty("diff_ids").EnumerateArray().Select(element => element.GetString()).ToArray();
        var unpacked = 0L;

        for (var i = 0; i < image.Layers.Count; i++)
        {
            var tar = ReadAll(new GZipStream(image.Layers[i].OpenRead(), CompressionMode.Decompress));
            Assert.Equal(diffIds[i], Digest.OfSha256(tar).ToString());

            using var reader = new TarReader(new MemoryStream(tar));
            var text = Assert.IsType<UstarTarEntry>(reader.GetNextEntry(copyData: true));
            Assert.Equal($"demo/layer-{i}.txt", text.Name);
            Assert.Equal($"Layer {i + 1} of 3, seed 1\n", new StreamReader(text.DataStream!).ReadToEnd());
            var data = Assert.IsType<UstarTarEntry>(reader.GetNextEntry(copyData: true));
            Assert.Equal((TarEntryType.RegularFile, DateTimeOffset.FromUnixTimeSeconds(1_704_067_200)), (data.EntryType, data.ModificationTime));
            Assert.Equal((UnixFileMode)Convert.ToInt32("644", 8), data.Mode);
            unpacked += data.Length;
            AssertIncompressible(ReadAll(data.DataStream!));
            Assert.Null(reader.GetNextEntry());
        }

        Assert.Equal(Small.Size, unpacked);
    }

    [Fact]
    public void OpenRead_FromAnyOffset_GivesTheBytesThatAreThere()
    {
        var layer = GeneratedImage.Create(new GeneratedImageOptions(150_001, 1)).Layers[0];
        var whole = ReadAll(layer.OpenRead());

        Gen.Int[0, whole.Length].SelectMany(offset => Gen.Int[0, whole.Length - offset].Select(count => (offset, count))).Sample(range =>
        {
            using var stream = layer.OpenRead();
            stream.Position = range.offset;
            var part = new byte[range.count];
            stream.ReadExactly(part);
            return part.AsSpan().SequenceEqual(whole.AsSpan(range.offset, range.count));
        }, iter: 300);
    }

    [Fact]
    public void OpenRead_PastTheEnd_ReadsNothing()
    {
        using var stream = GeneratedImage.Create(new GeneratedImageOptions(1024, 1)).Layers[0].OpenRead();
        stream.Seek(10, SeekOrigin.End);
        Assert.Equal(0, stream.Read(new byte[16]));
    }

    [Fact]
    public void Read_OfALayerOfManyGigabytes_IsConsistentAcrossFiles()
    {
        // Too much to hash, and not stored either: any part of it can be had at once.
        var tar = GeneratedTar.Of(Enumerable.Range(0, 6).Select(i => ($"file-{i}", (GeneratedBytes)new RandomBytes(1L << 30, (ulong)i))));
        var gzip = new StoredGzip(tar, 0);
        var whole = new byte[300_000];
        var from = 5L * (1L << 30);
        gzip.Read(from, whole);

        var parts = new byte[whole.Length];
        for (var offset = 0; offset < parts.Length; offset += 777)
        {
            gzip.Read(from + offset, parts.AsSpan(offset, Math.Min(777, parts.Length - offset)));
        }

        Assert.Equal(whole, parts);
        Assert.Equal((6L << 30) + (6 * 512) + 1024, tar.Length);
    }

    private static void AssertIncompressible(byte[] bytes)
    {
        using var packed = new MemoryStream();
        using (var deflate = new DeflateStream(packed, CompressionLevel.Fastest, leaveOpen: true))
        {
            deflate.Write(bytes);
        }

        Assert.True(packed.Length > bytes.Length * 0.99);
    }

    private static void AssertDescribes(JsonElement descriptor, ImageContent content) => Assert.Equal(
        (content.MediaType, content.Digest.ToString(), content.Size),
        (descriptor.GetProperty("mediaType").GetString(), descriptor.GetProperty("digest").GetString(), descriptor.GetProperty("size").GetInt64()));

    private static JsonElement Json(ImageContent content)
    {
        using var document = JsonDocument.Parse(content.OpenRead());
        return document.RootElement.Clone();
    }

    private static byte[] ReadAll(Stream stream)
    {
        using (stream)
        {
            using var buffer = new MemoryStream();
            stream.CopyTo(buffer);
            return buffer.ToArray();
        }
    }
}
