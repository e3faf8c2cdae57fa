using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

/// <summary>A folder of its own for a cache; deleted, and unmounted if it was mounted, at the end.</summary>
internal sealed class CacheFolder : IDisposable
{
    private readonly List<string> _mounted = [];

    public string Path { get; } = Directory.CreateTempSubdirectory("peerd-cache-").FullName;

    public PieceCache Open(long capacity = 1L << 30, long memory = 64L << 20, TimeProvider? time = null, string? path = null) =>
        PieceCache.Open(
            new CacheOptions { Directory = path ?? Path, Capacity = $"{capacity}", Memory = $"{memory}" },
            time ?? TimeProvider.System,
            NullLogger<PieceCache>.Instance);

    public string[] Files(string pattern) => Directory.GetFiles(Path, pattern, SearchOption.AllDirectories);

    public void MountTmpfs(string size) => MountOrSkip(Path, "-t", "tmpfs", "-o", $"size={size}", "tmpfs");

    /// <summary>Makes a file such that nobody can delete it, not even root.</summary>
    public void Pin(string path) => MountOrSkip(path, "--bind", path);

    public void Remount(string mode) => Assert.Null(Mount("-o", $"remount,{mode}", Path));

    public void Dispose()
    {
        foreach (var path in _mounted)
        {
            Assert.Null(Run("umount", "-l", path));
        }

        Directory.Delete(Path, recursive: true);
    }

    private void MountOrSkip(string path, params ReadOnlySpan<string> options)
    {
        var failure = Mount([.. options, path]);
        Assert.SkipWhen(failure is not null, $"this test mounts a file system, which is not allowed here: {failure}");
        _mounted.Add(path);
    }

    private static string? Mount(params string[] arguments) => Run("mount", arguments);

    private static string? Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, UseShellExecute = false })!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? null : error;
    }
}

/// <summary>A content with bytes that can be told from all others.</summary>
internal sealed class SampleContent
{
    public SampleContent(int seed, int size)
        : this(Generate(seed, size))
    {
    }

    public SampleContent(byte[] bytes)
    {
        Bytes = bytes;
        Digest = Digest.OfSha256(bytes);
        Layout = new ContentLayout(bytes.Length);
    }

    public byte[] Bytes { get; }

    public Digest Digest { get; }

    public ContentLayout Layout { get; }

    public ReadOnlySpan<byte> Frame(int frame) => Slice(Layout.Frame(frame));

    public ReadOnlySpan<byte> Slice(ByteRange range) => Bytes.AsSpan((int)range.Offset, (int)range.Length);

    public ContentLease OpenIn(PieceCache cache) => cache.Open(Digest, Bytes.Length, mediaType: null);

    public void WriteFrame(CachedContent content, int frame) => content.WriteFrame(frame, Frame(frame), FrameChecksum.Compute(Frame(frame)));

    public void WritePiece(CachedContent content, int piece)
    {
        for (var i = 0; i < Layout.FramesIn(piece); i++)
        {
            WriteFrame(content, Layout.FirstFrameOf(piece) + i);
        }
    }

    public void WriteAll(PieceCache cache)
    {
        using var lease = OpenIn(cache);
        for (var frame = 0; frame < Layout.FrameCount; frame++)
        {
            WriteFrame(lease.Content, frame);
        }

        lease.Content.MarkVerified();
    }

    /// <summary>Reads a range; false when it is lost. Fails the test when a byte is wrong.</summary>
    public bool TryRead(CachedContent content, ByteRange range)
    {
        var buffer = new byte[range.Length];
        try
        {
            content.Read(range.Offset, buffer);
        }
        catch (FrameLostException)
        {
            return false;
        }

        Assert.True(Slice(range).SequenceEqual(buffer), $"wrong bytes in {range}");
        return true;
    }

    public bool TryReadAll(PieceCache cache)
    {
        if (!cache.TryOpen(Digest, out var lease))
        {
            return false;
        }

        using (lease)
        {
            return TryRead(lease.Content, new ByteRange(0, Bytes.Length));
        }
    }

    private static byte[] Generate(int seed, int size)
    {
        // SplitMix64: Random with a seed makes one byte at a time, and tests make gigabytes.
        var bytes = new byte[(size + 7) & ~7];
        var state = (ulong)seed << 32;
        foreach (ref var word in MemoryMarshal.Cast<byte, ulong>(bytes.AsSpan()))
        {
            var mixed = state += 0x9E3779B97F4A7C15;
            mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
            word = mixed ^ (mixed >> 31);
        }

        Array.Resize(ref bytes, size);
        return bytes;
    }
}
