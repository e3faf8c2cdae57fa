using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

/// <summary>A cache folder with anything in it: the cache opens, and what it reads is right.</summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed class CacheFolderFuzzTests
{
    private const int Size = 300_000;
    private const long HugeSize = 1L << 40;

    private static readonly SampleContent[] Samples = [new(seed: 1, Size), new(seed: 2, Size + 1), new(seed: 3, 20)];

    private enum Kind
    {
        Garbage,
        Empty,
        Folder,
        Link,
        DeadLink,
        Copy,
        ChangedCopy,
        Huge,
    }

    [Fact]
    public void Open_AnythingInTheFolder_ReadsRightBytesOrNone() => Gen.Select(
        Gen.Enum<Kind>(), Gen.Int[0, 2], Gen.Int[0, 8], Gen.Int[0, 3], Gen.Int).Array[1, 6].Sample(
        entries =>
        {
            using var folder = new CacheFolder();
            using (var cache = folder.Open())
            {
                Array.ForEach(Samples, sample => sample.WriteAll(cache));
            }

            var originals = Array.ConvertAll(Samples, sample => folder.Files($"{sample.Digest.Hex}.*").Select(path => (Path: path, Bytes: File.ReadAllBytes(path))).ToArray());
            foreach (var (kind, sample, name, number, seed) in entries)
            {
                var original = originals[sample][(seed & int.MaxValue) % originals[sample].Length];
                Put(kind, Path.Combine(Path.GetDirectoryName(original.Path)!, NameOf(Samples[sample].Digest, name, number)), original.Path, original.Bytes, new Random(seed));
            }

            using (var cache = folder.Open())
            {
                // All of them: what is not read is not found out, and not written again.
                Array.ForEach(Samples, sample => ReadPieces(cache, sample));
                Array.ForEach(Samples, sample => sample.WriteAll(cache));
                Assert.All(Samples, sample => Assert.True(sample.TryReadAll(cache)));
            }
        },
        iter: 100,
        threads: 1);

    private static void ReadPieces(PieceCache cache, SampleContent sample)
    {
        using var lease = sample.OpenIn(cache);
        for (var piece = 0; piece < sample.Layout.PieceCount; piece++)
        {
            sample.TryRead(lease.Content, sample.Layout.Piece(piece));
        }
    }

    // Names as the cache gives them, and such that it does not.
    private static string NameOf(Digest digest, int name, int number) => name switch
    {
        0 => $"{digest.Hex}.{number}.index",
        1 => $"{digest.Hex}.{number}.data",
        2 => $"{new string('a', 64)}.{number}.index",
        3 => $"{new string('a', 64)}.{number}.data",
        4 => $"{digest.Hex}.{long.MaxValue}.index",
        5 => $"{digest.Hex}.-1.data",
        6 => $"{digest.Hex}.index",
        7 => "lock",
        _ => "no name of ours",
    };

    private static void Put(Kind kind, string path, string original, byte[] content, Random random)
    {
        if (new FileInfo(path) is { Exists: true } or { LinkTarget: not null })
        {
            File.Delete(path);
        }
        else if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }

        var bytes = new byte[random.Next(1, 10_000)];
        random.NextBytes(bytes);
        switch (kind)
        {
            case Kind.Folder:
                Directory.CreateDirectory(Path.Combine(path, "sub"));
                break;
            case Kind.Link:
                File.CreateSymbolicLink(path, original);
                break;
            case Kind.DeadLink:
                File.CreateSymbolicLink(path, "/nowhere/at/all");
                break;
            case Kind.Copy or Kind.ChangedCopy:
                byte[] copy = [.. content];
                for (var i = 0; kind == Kind.ChangedCopy && copy.Length > 0 && i < 5; i++)
                {
                    copy[random.Next(copy.Length)] ^= (byte)random.Next(1, 256);
                }

                File.WriteAllBytes(path, copy);
                break;
            case Kind.Huge:
                using (var file = File.Create(path))
                {
                    file.SetLength(HugeSize);
                }

                break;
            default:
                File.WriteAllBytes(path, kind == Kind.Empty ? [] : bytes);
                break;
        }
    }
}
