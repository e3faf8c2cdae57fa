using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace Peerd.Node.Cli;

/// <summary>What the runtime does not tell of files: owners, and where links lead to.</summary>
[SupportedOSPlatform("linux")]
internal static class UnixFile
{
    /// <summary>How names of what is not yet there, or no longer, end; they begin with a dot.</summary>
    public const string PartialSuffix = ".partial";

    private const UnixFileMode ReadableForAll = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead;

    private const int NotFound = 2;
    private const int LongestPath = 4096;
    private const int CurrentFolder = -100;
    private const uint BasicStatus = 0x7ff;
    private const int TypeBits = 0xf000;
    private const int RegularFile = 0x8000;
    private const int PermissionBits = 0xfff;

    private static readonly TimeSpan LongestRun = TimeSpan.FromMinutes(1);

    /// <summary>Follows all links of a path, of its folders, too.</summary>
    /// <exception cref="IOException">There is no such file, or it cannot be looked at.</exception>
    public static string Resolve(string path)
    {
        var resolved = new byte[LongestPath];
        if (RealPath(path, resolved) == IntPtr.Zero)
        {
            throw Failure();
        }

        return System.Text.Encoding.UTF8.GetString(resolved.AsSpan(..resolved.IndexOf((byte)0)));
    }

    /// <summary>Tells what a file is and whose.</summary>
    /// <exception cref="IOException">There is no such file, or it cannot be looked at.</exception>
    public static UnixFileStatus Status(string path)
    {
        if (StatX(CurrentFolder, path, 0, BasicStatus, out var status) != 0)
        {
            throw Failure();
        }

        return new UnixFileStatus(status.User, status.Group, (UnixFileMode)(status.Mode & PermissionBits), (status.Mode & TypeBits) == RegularFile);
    }

    /// <summary>
    /// Writes a file, new or in place of the old: a reader sees one or the other, whatever happens. False, and nothing is done,
    /// when it is not wanted any more at the last moment.
    /// </summary>
    /// <param name="path">The file; links are not followed.</param>
    /// <param name="text">All of it.</param>
    /// <param name="status">Whose it is to be, with which rights; null for ours, readable for all.</param>
    /// <param name="isStillWanted">Asked when all but the last step is done.</param>
    /// <exception cref="IOException">It cannot be written; it is as it was.</exception>
    /// <exception cref="UnauthorizedAccessException">The same.</exception>
    public static bool TryReplace(string path, ReadOnlyMemory<byte> text, UnixFileStatus? status, Func<bool> isStillWanted)
    {
        var partial = Beside(path);
        try
        {
            using (var stream = new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                Share = FileShare.None,
                BufferSize = 0,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite,
            }))
            {
                stream.Write(text.Span);
                if (status is { } like)
                {
                    SetOwner(stream.SafeFileHandle, like.User, like.Group);
                }

                File.SetUnixFileMode(stream.SafeFileHandle, status?.Mode ?? ReadableForAll);
                stream.Flush(flushToDisk: true);
            }

            if (!isStillWanted())
            {
                return false;
            }

            File.Move(partial, path, overwrite: true);
            return true;
        }
        finally
        {
            File.Delete(partial);
        }
    }

    /// <summary>Deletes what runs that were killed have left when they replaced a file; runs that go on now have younger ones.</summary>
    /// <param name="path">The file that they replaced.</param>
    /// <param name="warn">Takes a line for people on what cannot be deleted.</param>
    public static void DeleteLeftovers(string path, Action<string> warn)
    {
        var folder = Path.GetDirectoryName(path)!;
        LookForLeftovers(folder, warn, () =>
        {
            foreach (var file in new DirectoryInfo(folder).EnumerateFiles($".{Path.GetFileName(path)}.*{PartialSuffix}").Where(IsOld))
            {
                DeleteLeftover(file.FullName, warn, file.Delete);
            }
        });
    }

    /// <summary>Deletes what a run that was killed has left, if it can be: it is in nobody's way, and nothing else need fail because of it.</summary>
    public static void DeleteLeftover(string path, Action<string> warn, Action delete) =>
        Try(delete, failure => warn($"{path} has been left by a run that was killed and cannot be deleted: {failure}"));

    /// <summary>Looks through a folder for what killed runs have left, if it can be looked through.</summary>
    public static void LookForLeftovers(string folder, Action<string> warn, Action look) =>
        Try(look, failure => warn($"{folder} cannot be looked through for what killed runs have left: {failure}"));

    /// <summary>No run that goes on now has made it.</summary>
    public static bool IsOld(FileSystemInfo entry) => entry.LastWriteTimeUtc < TimeProvider.System.GetUtcNow().UtcDateTime - LongestRun;

    /// <summary>A name that nobody has, in the same folder.</summary>
    public static string Beside(string path) => Path.Combine(Path.GetDirectoryName(path)!, $".{Path.GetFileName(path)}.{Path.GetRandomFileName()}{PartialSuffix}");

    /// <summary>Gives a file to a user and a group.</summary>
    /// <exception cref="IOException">We may not.</exception>
    public static void SetOwner(SafeFileHandle file, uint user, uint group)
    {
        if (ChangeOwner(file, user, group) != 0)
        {
            throw Failure();
        }
    }

    private static void Try(Action action, Action<string> failed)
    {
        try
        {
            action();
        }
        catch (DirectoryNotFoundException)
        {
            // Another run was quicker.
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            failed(exception.Message.ReplaceLineEndings(" "));
        }
    }

    private static IOException Failure()
    {
        var error = Marshal.GetLastPInvokeError();
        var message = Marshal.GetPInvokeErrorMessage(error);
        return error == NotFound ? new FileNotFoundException(message) : new IOException(message);
    }

    [DllImport("libc", EntryPoint = "realpath", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern IntPtr RealPath([MarshalAs(UnmanagedType.LPUTF8Str)] string path, [Out] byte[] resolved);

    [DllImport("libc", EntryPoint = "statx", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int StatX(int folder, [MarshalAs(UnmanagedType.LPUTF8Str)] string path, int flags, uint mask, out StatXBuffer status);

    [DllImport("libc", EntryPoint = "fchown", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int ChangeOwner(SafeFileHandle file, uint user, uint group);

    // The same on all machines, other than that of stat.
    [StructLayout(LayoutKind.Explicit, Size = 256)]
    private struct StatXBuffer
    {
        [FieldOffset(20)]
        public uint User;

        [FieldOffset(24)]
        public uint Group;

        [FieldOffset(28)]
        public ushort Mode;
    }
}

/// <summary>What a file is and whose.</summary>
internal readonly record struct UnixFileStatus(uint User, uint Group, UnixFileMode Mode, bool IsRegular);
