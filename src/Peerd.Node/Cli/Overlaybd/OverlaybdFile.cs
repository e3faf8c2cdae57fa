using System.Runtime.Versioning;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>
/// overlaybd's settings on disk, and the files that Peerd keeps beside them. All are read and replaced whole; a reader
/// sees the old or the new one, and what is replaced keeps its mode and owner.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class OverlaybdFile
{
    /// <summary>The largest that they may be.</summary>
    public static readonly ByteSize Limit = new(1 << 20);

    // What we remember has a part of them twice, and escaped.
    private static readonly ByteSize LimitBeside = new(8 << 20);

    /// <summary>Finds the file.</summary>
    /// <exception cref="OverlaybdException">There is none.</exception>
    public OverlaybdFile(string path)
    {
        // What is edited is what a link leads to, not the link.
        FullPath = Try(path, "cannot be found", () => UnixFile.Resolve(path));
        BackupPath = FullPath + ".peerd-backup";
        MemoryPath = FullPath + ".peerd-state";
    }

    /// <summary>Where it really is.</summary>
    public string FullPath { get; }

    /// <summary>A copy of the file from before we changed it.</summary>
    public string BackupPath { get; }

    /// <summary>What we need to know to undo our change.</summary>
    public string MemoryPath { get; }

    /// <summary>False when there is nothing of that name, not even a link that leads nowhere.</summary>
    public static bool Exists(string path)
    {
        try
        {
            UnixFile.Resolve(path);
            return true;
        }
        catch (FileNotFoundException)
        {
            return new FileInfo(path).LinkTarget is not null;
        }
        catch (IOException)
        {
            // Whoever reads it is told why it cannot be reached.
            return true;
        }
    }

    /// <summary>Deletes what runs that were killed have left of the file and of those beside it: names of the others begin with that of the file.</summary>
    /// <param name="warn">Takes a line for people on what cannot be deleted.</param>
    public void DeleteLeftovers(Action<string> warn) => UnixFile.DeleteLeftovers(FullPath, warn);

    /// <exception cref="OverlaybdException">It cannot be read.</exception>
    public byte[] Read() => Read(FullPath, Limit);

    /// <summary>Reads one of the files beside it; null when there is none.</summary>
    /// <exception cref="OverlaybdException">It cannot be read.</exception>
    public static byte[]? ReadBeside(string path) => File.Exists(path) ? Read(path, LimitBeside) : null;

    /// <summary>Replaces the file; false, and nothing is done, when it is no longer what it was.</summary>
    /// <exception cref="OverlaybdException">It cannot be written; it is as it was.</exception>
    public bool TryReplace(ReadOnlyMemory<byte> expected, ReadOnlyMemory<byte> text)
    {
        if (text.Length > Limit.Bytes)
        {
            throw new OverlaybdException($"{FullPath} cannot be written, nothing was changed: it would be larger than {Limit}");
        }

        return TryWrite(FullPath, text, () => expected.Span.SequenceEqual(Read()));
    }

    /// <summary>Writes one of the files beside it.</summary>
    /// <exception cref="OverlaybdException">It cannot be written; it is as it was.</exception>
    public void WriteBeside(string path, ReadOnlyMemory<byte> text) => TryWrite(path, text, () => true);

    /// <summary>Deletes one of the files beside it, if it is there.</summary>
    /// <exception cref="OverlaybdException">It cannot be deleted.</exception>
    public static void DeleteBeside(string path) => Try(path, "cannot be deleted", () =>
    {
        File.Delete(path);
        return true;
    });

    private bool TryWrite(string path, ReadOnlyMemory<byte> text, Func<bool> isStillWanted) =>
        Try(path, "cannot be written, nothing was changed", () => UnixFile.TryReplace(path, text, UnixFile.Status(FullPath), isStillWanted));

    private static byte[] Read(string path, ByteSize limit) => Try(path, "cannot be read", () =>
    {
        if (!UnixFile.Status(path).IsRegular)
        {
            throw new IOException("it is not a file");
        }

        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        var text = new byte[limit.Bytes + 1];
        var length = stream.ReadAtLeast(text, text.Length, throwOnEndOfStream: false);
        return length <= limit.Bytes ? text[..length] : throw new IOException($"it is larger than {limit}");
    });

    private static T Try<T>(string path, string failure, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (FileNotFoundException exception)
        {
            throw new OverlaybdException($"{path} does not exist: is overlaybd installed here?", exception);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new OverlaybdException($"{path} {failure}: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }
}
