using System.Runtime.Versioning;
using System.Text;

namespace Peerd.Node.Cli.Containerd;

/// <summary>A <c>hosts.toml</c> on disk: read and replaced whole; what is replaced keeps its mode and owner.</summary>
[SupportedOSPlatform("linux")]
internal static class HostsFile
{
    public const string Name = "hosts.toml";

    private const int Limit = 1 << 20;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads one; null when there is none.</summary>
    /// <exception cref="HostsException">It cannot be read.</exception>
    public static string? Read(string path) => Try(path, "cannot be read", () =>
        Bytes(path) is not { } bytes ? null
        : bytes.Length <= Limit ? Strict.GetString(bytes) : throw new IOException("it is larger than 1 MiB"));

    /// <summary>False when nothing of ours can be in it: what others have there need not be such that we can read it.</summary>
    /// <exception cref="HostsException">It cannot be looked at.</exception>
    public static bool MayBeOurs(string path) => Try(path, "cannot be read", () =>
    {
        try
        {
            return UnixFile.Status(path).IsRegular && Bytes(path) is { } bytes && HostsText.MayBeOurs(bytes);
        }
        catch (FileNotFoundException)
        {
            return false;
        }
    });

    /// <summary>True when there is no such folder.</summary>
    /// <exception cref="HostsException">A link is there which leads nowhere, at least not for us.</exception>
    public static bool IsNewFolder(string folder) => !System.IO.Directory.Exists(folder)
        && (new FileInfo(folder).LinkTarget is { } target ? throw new HostsException($"{folder} is a link to {target}, which is not there") : true);

    /// <summary>Writes one, new or in place of the old: a reader sees one or the other.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">What it is now; null when it is not there.</param>
    /// <param name="text">What it is to be.</param>
    /// <exception cref="HostsException">It cannot be written, or somebody else has changed it; it is as it was.</exception>
    public static void Write(string path, string? expected, string text)
    {
        var isWritten = Try(path, "cannot be written, it is as it was", () =>
        {
            // What is edited is what a link leads to, not the link.
            var target = expected is null ? path : UnixFile.Resolve(path);
            return UnixFile.TryReplace(target, Strict.GetBytes(text), expected is null ? null : UnixFile.Status(target), () => Read(path) == expected);
        });
        if (!isWritten)
        {
            throw ChangedByOthers(path);
        }
    }

    /// <summary>Writes one in a folder that is new, too: both appear at once, for an empty folder would hide <c>_default</c>.</summary>
    /// <exception cref="HostsException">It cannot be written, or somebody else was quicker; nothing is left.</exception>
    public static void WriteWithFolder(string path, string text) => Try(path, "cannot be written", () =>
    {
        var folder = Path.GetDirectoryName(path)!;
        var partial = UnixFile.Beside(folder);
        try
        {
            System.IO.Directory.CreateDirectory(partial);
            UnixFile.TryReplace(Path.Combine(partial, Name), Strict.GetBytes(text), status: null, () => true);
            System.IO.Directory.Move(partial, folder);
            return true;
        }
        finally
        {
            if (System.IO.Directory.Exists(partial))
            {
                System.IO.Directory.Delete(partial, recursive: true);
            }
        }
    });

    /// <summary>Deletes one.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">What it is now.</param>
    /// <param name="withFolder">Its folder, too, at once, unless it holds something else.</param>
    /// <exception cref="HostsException">It cannot be deleted, or somebody else has changed it; it is as it was.</exception>
    public static void Delete(string path, string expected, bool withFolder) => Try(path, "cannot be deleted", () =>
    {
        if (Read(path) != expected)
        {
            throw ChangedByOthers(path);
        }

        var folder = Path.GetDirectoryName(path)!;
        if (!withFolder || new FileInfo(folder).LinkTarget is not null || System.IO.Directory.EnumerateFileSystemEntries(folder).Skip(1).Any())
        {
            File.Delete(path);
            return true;
        }

        var partial = UnixFile.Beside(folder);
        System.IO.Directory.Move(folder, partial);
        File.Delete(Path.Combine(partial, Name));
        System.IO.Directory.Delete(partial);
        return true;
    });

    /// <summary>True for a folder that a run has just made, or is about to delete.</summary>
    public static bool IsPartial(string folder) => Path.GetFileName(folder) is ['.', ..] name && name.EndsWith(UnixFile.PartialSuffix, StringComparison.Ordinal);

    /// <summary>Deletes what runs that were killed have left in a folder, files or folders; runs that go on now have younger ones.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="warn">Takes a line for people on what cannot be deleted.</param>
    public static void DeleteLeftovers(string folder, Action<string> warn)
    {
        UnixFile.LookForLeftovers(folder, warn, () =>
        {
            foreach (var partial in new DirectoryInfo(folder).EnumerateDirectories($".*{UnixFile.PartialSuffix}").Where(UnixFile.IsOld))
            {
                UnixFile.DeleteLeftover(partial.FullName, warn, () => DeletePartial(partial));
            }

            UnixFile.DeleteLeftovers(Path.Combine(folder, Name), warn);
        });
    }

    private static void DeletePartial(DirectoryInfo partial)
    {
        if (partial.EnumerateFileSystemInfos().All(IsOurs))
        {
            partial.EnumerateFiles().ToList().ForEach(file => file.Delete());
            partial.Delete();
        }
    }

    private static bool IsOurs(FileSystemInfo file) => file is FileInfo && UnixFile.IsOld(file)
        && (file.Name == Name || (file.Name.StartsWith($".{Name}.", StringComparison.Ordinal) && file.Name.EndsWith(UnixFile.PartialSuffix, StringComparison.Ordinal)));

    private static byte[]? Bytes(string path)
    {
        try
        {
            if (!UnixFile.Status(path).IsRegular)
            {
                throw new IOException("it is not a file");
            }
        }
        catch (FileNotFoundException exception)
        {
            return new FileInfo(path).LinkTarget is { } target ? throw new IOException($"it is a link to {target}, which is not there", exception) : null;
        }

        using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        var bytes = new byte[Limit + 1];
        return bytes[..stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false)];
    }

    private static HostsException ChangedByOthers(string path) => new($"{path} is being changed by somebody else at the moment, and was left; try again");

    private static T Try<T>(string path, string failure, Func<T> action)
    {
        try
        {
            return action();
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new HostsException($"{path} {failure}: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }
}
