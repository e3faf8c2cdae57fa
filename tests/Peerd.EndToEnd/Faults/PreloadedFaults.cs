using System.IO.MemoryMappedFiles;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>
/// Faults that only the C library can bring about, in nodes that are started with <see cref="EnvironmentOf"/>: a clock that
/// jumps, and a disk with errors or without answers. They are switched in memory that is shared with the nodes; see <c>preload.c</c>. And a machine
/// without IPv6, see <see cref="WithoutIPv6"/>.
/// </summary>
internal sealed class PreloadedFaults : IDisposable
{
    // As in preload.c.
    private const int ClockAt = 0;
    private const int DiskAt = 8;
    private const int FailuresAt = 16;
    private const int HeldAt = 24;
    private const int WaitingAt = 32;
    private const int Size = 40;

    private static readonly TimeSpan CompileTimeout = TimeSpan.FromSeconds(30);

    private readonly string _library;
    private readonly string _shared;
    private readonly MemoryMappedFile _file;
    private readonly MemoryMappedViewAccessor _memory;

    private PreloadedFaults(string folder)
    {
        _library = Path.Combine(folder, "preload.so");
        _shared = Path.Combine(folder, "preload.shared");
        _file = MemoryMappedFile.CreateFromFile(_shared, FileMode.CreateNew, mapName: null, Size);
        _memory = _file.CreateViewAccessor(0, Size);
    }

    /// <summary>Accesses to the disk that have failed so far.</summary>
    public long Failures => _memory.ReadInt64(FailuresAt);

    /// <summary>Accesses to the disk that were held so far.</summary>
    public long Waiting => _memory.ReadInt64(WaitingAt);

    /// <summary>Compiles the library.</summary>
    public static async Task<PreloadedFaults> CreateAsync(Lab lab)
    {
        var faults = new PreloadedFaults(lab.CreateFolder("preload"));
        var source = Path.Combine(Repository.Root, "tests/Peerd.EndToEnd/Faults/preload.c");
        var compiler = await lab.RunAsync("gcc", "/usr/bin/gcc", ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", faults._library, source], CompileTimeout);
        if (compiler.ExitCode == 0)
        {
            return faults;
        }

        faults.Dispose();
        throw new InvalidOperationException($"{source} does not compile.\n{compiler.Tail()}");
    }

    /// <summary>What a node is started with to have the faults.</summary>
    /// <param name="folder">Where its disk fails.</param>
    public IReadOnlyDictionary<string, string> EnvironmentOf(string folder) => new Dictionary<string, string>
    {
        ["LD_PRELOAD"] = _library,
        ["PEERD_PRELOAD_FILE"] = _shared,
        ["PEERD_PRELOAD_FOLDER"] = folder,
    };

    /// <summary>What a node is started with to be on a machine without IPv6.</summary>
    public IReadOnlyDictionary<string, string> WithoutIPv6 => new Dictionary<string, string> { ["LD_PRELOAD"] = _library, ["PEERD_PRELOAD_NO_IPV6"] = "1" };

    /// <summary>Makes all accesses to files in the folder fail that are open, or not any more.</summary>
    public void FailDisk(bool fails) => _memory.Write(DiskAt, fails ? 1L : 0L);

    /// <summary>Lets all reads and writes of files in the folder wait, or not any more.</summary>
    public void HoldDisk(bool holds) => _memory.Write(HeldAt, holds ? 1L : 0L);

    /// <summary>Sets the clock so far from the right time.</summary>
    public void MoveClock(TimeSpan offset) => _memory.Write(ClockAt, (long)offset.TotalSeconds);

    /// <inheritdoc />
    public void Dispose()
    {
        _memory.Dispose();
        _file.Dispose();
    }
}
