using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>What a lab leaves on the machine whose processes are killed and frozen: nothing.</summary>
[Trait(FaultTraits.Length, FaultTraits.Long)]
public sealed class LeakTests
{
    [Fact]
    public async Task Dispose_NodesKilledAndFrozenAndDisksMounted_NamespacesAndMountsAreGone()
    {
        var (namespaces, mounts) = (CountNamespaces(), await CountMountsAsync());
        await using (var lab = new Lab())
        {
            await using var mesh = await FaultMesh.StartOnHostsAsync(lab, 2, 100_000_000);
            var folder = lab.CreateFolder("mounted");
            Assert.Equal(0, (await lab.RunAsync("mount", "/bin/mount", ["-t", "tmpfs", "peerd-test", folder], TimeSpan.FromSeconds(20))).ExitCode);
            await mesh.Nodes[0].Process.KillAsync();
            mesh.Nodes[1].Process.Freeze();
            Assert.NotEqual((namespaces, mounts), (CountNamespaces(), await CountMountsAsync()));
        }

        Assert.Equal((namespaces, mounts), (CountNamespaces(), await CountMountsAsync()));
    }

    private static int CountNamespaces() => System.IO.Directory.EnumerateDirectories("/proc")
        .Where(process => int.TryParse(Path.GetFileName(process), out _))
        .Select(process => new FileInfo(Path.Combine(process, "ns/net")))
        .Select(file =>
        {
            try
            {
                return file.LinkTarget;
            }
            catch (IOException)
            {
                // It has just ended.
                return null;
            }
        })
        .Where(target => target is not null)
        .Distinct()
        .Count();

    private static async Task<int> CountMountsAsync() => (await File.ReadAllLinesAsync("/proc/self/mountinfo")).Length;
}
