using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Peerd.Node.Storage;

/// <summary>Gives the blocks of dropped pieces back to the file system, where it can.</summary>
internal static class SparseFile
{
    private const int KeepSize = 1;
    private const int PunchHole = 2;

    private static volatile bool _isSupported = OperatingSystem.IsLinux() && Environment.Is64BitProcess;

    /// <summary>Best effort: a file system that cannot do it keeps the blocks until the file is deleted.</summary>
    public static void Punch(SafeFileHandle file, long offset, long length)
    {
        if (!_isSupported || length <= 0)
        {
            return;
        }

        try
        {
            _ = Allocate(file, KeepSize | PunchHole, offset, length);
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
            _isSupported = false;
        }
    }

    [DllImport("libc", EntryPoint = "fallocate")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Allocate(SafeFileHandle file, int mode, long offset, long length);
}
