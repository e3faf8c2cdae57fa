using System.Buffers.Binary;
using System.Globalization;

namespace Peerd.EndToEnd.Harness;

/// <summary>For which kind of processor programs are: <c>e_machine</c> of their ELF header, such as 62 for x86-64 and 183 for AArch64.</summary>
internal static class MachineCode
{
    private const int MachineAt = 18;

    /// <summary>Of this process.</summary>
    public static int Own => OfFile("/proc/self/exe") ?? throw new InvalidOperationException("/proc/self/exe is no program");

    /// <summary>Of all programs and libraries that a process has in its memory: in an emulator, of the emulator and of what it runs.</summary>
    public static IReadOnlySet<int> OfProcess(int id) => File.ReadLines(string.Create(CultureInfo.InvariantCulture, $"/proc/{id}/maps"))
        .Select(line => line.IndexOf('/', StringComparison.Ordinal) is var at and >= 0 ? line[at..] : null)
        .OfType<string>().Distinct().Where(File.Exists).Select(OfFile).OfType<int>().ToHashSet();

    private static int? OfFile(string path)
    {
        using var file = File.OpenRead(path);
        Span<byte> head = stackalloc byte[MachineAt + 2];
        return file.ReadAtLeast(head, head.Length, throwOnEndOfStream: false) == head.Length && head.StartsWith("\u007fELF"u8)
            ? BinaryPrimitives.ReadUInt16LittleEndian(head[MachineAt..])
            : null;
    }
}
