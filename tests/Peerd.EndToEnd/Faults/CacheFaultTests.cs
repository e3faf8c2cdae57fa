using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>The cache folder of a running node is harmed: its files, or the disk that they are on.</summary>
public sealed class CacheFaultTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Size = 12 * MiB;
    private const string LittleMemory = "4MiB";

    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    /// <summary>What is done to a file.</summary>
    private enum Harm
    {
        Flip,
        Zero,
        Truncate,
        Delete,
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_CacheFilesHarmedWhileRunning_NoWrongByteAndAllReadsFinish()
    {
        await using var mesh = await FaultMesh.StartAsync(Lab, 2);
        await mesh.RememberUseAsync();
        foreach (var harm in Enum.GetValues<Harm>())
        {
            var blob = mesh.AddBlob(Size);
            await mesh.ReadAsync([mesh.Nodes[0]], blob);
            var noticed = await FoundInCacheAsync(mesh.Nodes[0]);
            var files = HarmFiles(mesh.Nodes[0].CacheFolder, blob, harm);
            var (start, before) = (Stopwatch.GetTimestamp(), mesh.Origin.Bytes);

            // Its own client, and one that gets the bytes from it.
            await mesh.ReadAsync(mesh.Nodes, blob);

            noticed = await FoundInCacheAsync(mesh.Nodes[0]) - noticed;

            // A file that is deleted while it is open loses nothing.
            Assert.True(noticed > 0 || harm == Harm.Delete, $"{harm}: nothing was found wrong in the cache, so nothing of it was read");
            FaultMesh.Print($"{harm} of {files} file(s): {noticed} pieces were found wrong, both had it in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / Size:0.00} times from the registry");
        }

        await mesh.DemandNothingLeftAsync();
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_DiskFullThenLarger_AllReadsFinishAndContentsAreKeptAgain()
    {
        await using var mesh = await StartOnSmallDiskAsync(nodes: 3);
        await mesh.RememberUseAsync();
        var blobs = Enumerable.Range(0, 3).Select(_ => mesh.AddBlob(Size)).ToArray();
        var before = mesh.Origin.Bytes;

        // Nobody has room for one of them.
        await mesh.ReadAsync(mesh.Nodes, blobs);
        FaultMesh.Print($"disks full: {(double)(mesh.Origin.Bytes - before) / Size / blobs.Length:0.00} times from the registry");

        foreach (var node in mesh.Nodes)
        {
            await RunAsync("mount", "-o", "remount,size=256m", node.CacheFolder);
        }

        FaultMesh.Print($"recovery: contents are kept {(await UntilKeptAsync(mesh)).TotalSeconds:0.00} s after there is room");
        await mesh.DemandNothingLeftAsync();
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_DiskReadOnlyAfterAKill_AllReadsFinishAndContentsAreKeptAgain()
    {
        await using var mesh = await StartOnSmallDiskAsync(nodes: 1, "64m");
        var node = mesh.Nodes[0];
        await mesh.RememberUseAsync();
        var blobs = Enumerable.Range(0, 2).Select(_ => mesh.AddBlob(Size)).ToArray();
        await mesh.ReadAsync(mesh.Nodes, blobs[0]);

        await node.Process.KillAsync();
        await RunAsync("mount", "-o", "remount,ro", node.CacheFolder);
        await node.StartAgainAsync();
        var before = mesh.Origin.Bytes;
        await mesh.ReadAsync(mesh.Nodes, blobs[0]);
        FaultMesh.Print($"read-only: {mesh.Origin.Bytes - before} bytes from the registry of what was kept before");
        await mesh.ReadAsync(mesh.Nodes, blobs[1]);

        await RunAsync("mount", "-o", "remount,rw", node.CacheFolder);
        FaultMesh.Print($"recovery: contents are kept {(await UntilKeptAsync(mesh)).TotalSeconds:0.00} s after the disk can be written");
        await mesh.DemandNothingLeftAsync();
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_DiskHasErrors_AllReadsFinishAndContentsAreKeptAgain()
    {
        using var faults = await PreloadedFaults.CreateAsync(Lab);
        await using var mesh = await FaultMesh.StartAsync(
            Lab, 2, (_, settings) => settings["Cache"]!["Memory"] = LittleMemory, node => Task.FromResult(node.Environment = node.Name == "n1" ? faults.EnvironmentOf(node.CacheFolder) : null));
        await mesh.RememberUseAsync();
        var blobs = Enumerable.Range(0, 3).Select(_ => mesh.AddBlob(Size)).ToArray();
        await mesh.ReadAsync([mesh.Nodes[0]], blobs[0]);

        faults.FailDisk(true);
        var start = Stopwatch.GetTimestamp();
        await mesh.ReadAsync(mesh.Nodes, blobs);
        Assert.True(faults.Failures > 0, "no access to the disk has failed: the test has tested nothing");
        FaultMesh.Print($"{faults.Failures} accesses have failed: both had {blobs.Length} blobs in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s");

        faults.FailDisk(false);
        FaultMesh.Print($"recovery: contents are kept {(await UntilKeptAsync(mesh)).TotalSeconds:0.00} s after the disk is well");
        await mesh.DemandNothingLeftAsync();
    }

    private static async Task<long> FoundInCacheAsync(PeerdNode node)
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        return (await NodeMetrics.ReadAsync(node, host: null, deadline.Token)).Sum("peerd_integrity_failures_total", "source=\"cache\"");
    }

    private Task<FaultMesh> StartOnSmallDiskAsync(int nodes, string size = "6m") => FaultMesh.StartAsync(
        Lab,
        nodes,
        (_, settings) => settings["Cache"]!["Memory"] = LittleMemory,
        async node =>
        {
            System.IO.Directory.CreateDirectory(node.CacheFolder);
            await RunAsync("mount", "-t", "tmpfs", "-o", $"size={size}", "peerd-test", node.CacheFolder);
        });

    // A blob that is larger than the memory is read twice: the second time without the registry.
    private static async Task<TimeSpan> UntilKeptAsync(FaultMesh mesh)
    {
        var start = Stopwatch.GetTimestamp();
        while (true)
        {
            var blob = mesh.AddBlob(Size);
            await mesh.ReadAsync([mesh.Nodes[0]], blob);
            var before = mesh.Origin.Bytes;
            await mesh.ReadAsync([mesh.Nodes[0]], blob);
            if (mesh.Origin.Bytes == before)
            {
                return Stopwatch.GetElapsedTime(start);
            }

            Assert.True(Stopwatch.GetElapsedTime(start) < RecoveryLimit, $"nothing is kept {RecoveryLimit.TotalSeconds} s after the disk is well");
        }
    }

    private static int HarmFiles(string folder, GeneratedBlob blob, Harm harm)
    {
        var files = System.IO.Directory.GetFiles(folder, $"*{blob.Digest.Hex}*.data", SearchOption.AllDirectories);
        Assert.NotEmpty(files);
        foreach (var path in files)
        {
            if (harm == Harm.Delete)
            {
                File.Delete(path);
                continue;
            }

            using var file = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
            var length = RandomAccess.GetLength(file);
            switch (harm)
            {
                case Harm.Truncate:
                    RandomAccess.SetLength(file, length / 3);
                    break;
                case Harm.Zero:
                    RandomAccess.Write(file, new byte[length / 2], length / 4);
                    break;
                default:
                    var one = new byte[1];
                    for (var offset = 17L; offset < length; offset += 3 * MiB)
                    {
                        RandomAccess.Read(file, one, offset);
                        one[0] ^= 1;
                        RandomAccess.Write(file, one, offset);
                    }

                    break;
            }
        }

        return files.Length;
    }

    private async Task RunAsync(string program, params string[] arguments)
    {
        var process = await Lab.RunAsync(program, $"/bin/{program}", arguments, TimeSpan.FromSeconds(20));
        Assert.True(process.ExitCode == 0, process.Tail());
    }
}
