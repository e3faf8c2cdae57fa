using System.Globalization;
using System.Net.NetworkInformation;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Herd;

/// <summary>A herd that is measured and interrupted leaves nothing behind.</summary>
public sealed class HerdInterruptTests : LabTest
{
    private const int MiB = 1 << 20;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    // Four seconds of pulls: whoever looks comes in the middle of them.
    private static readonly string[] Arguments =
        [.. Repository.Benchmarks[1..], "herd", "--nodes", "2", "--size", "4", "--rate", "10", "--layers", "1", "--uplinks", "1", "--modes", "cold", "--warm-up", "0"];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Bench_InterruptedInTheMiddle_NothingIsLeft(bool isTerminated)
    {
        Assert.True(File.Exists(Arguments[0]), $"{Arguments[0]} is not there: build the whole solution");
        var interfaces = InterfaceNames();
        var bench = await Lab.StartAsync("bench", Repository.Benchmarks[0], Arguments);
        await Wait.UntilAsync("both nodes receive", bench, () => Task.FromResult(Lab.ProcessesOf(Lab.Folder).Count(IsNodeThatReceives) == 2), Patience);
        var processes = DescendantsOf(bench.Id);
        var namespaces = processes.Select(NetworkNamespace.OfProcess).Except([NetworkNamespace.OfProcess(Environment.ProcessId), string.Empty]).ToList();

        // The registry, the proxy, two nodes, and the bridge that connects them.
        Assert.Equal(5, namespaces.Count);
        if (isTerminated)
        {
            bench.Terminate();
        }
        else
        {
            bench.Interrupt();
        }

        Assert.NotEqual(0, await bench.WaitForExitAsync(Patience));
        Assert.Equal("bench: stopped", bench.Errors[^1]);
        Assert.DoesNotContain(processes, id => System.IO.Directory.Exists($"/proc/{id}"));
        Assert.Empty(Lab.ProcessesOf(Lab.Folder));
        Assert.Empty(namespaces.Intersect(NetworkNamespace.OfProcesses()));
        Assert.Empty(InterfaceNames().Except(interfaces));
        Assert.Empty(System.IO.Directory.EnumerateFileSystemEntries(Lab.Folder, "peerd-*"));
    }

    private static bool IsNodeThatReceives(string process)
    {
        try
        {
            // "  eth0: received packets …"; before the pulls there is hardly anything to receive.
            return process.Contains(" serve --config ", StringComparison.Ordinal)
                && File.ReadLines($"/proc/{process.Split(' ')[0]}/net/dev").Select(static line => line.Split([' ', ':'], StringSplitOptions.RemoveEmptyEntries))
                    .Any(static fields => fields[0] == LabHost.Device && long.Parse(fields[1], CultureInfo.InvariantCulture) > MiB);
        }
        catch (IOException)
        {
            return false;
        }
    }

    private static string[] InterfaceNames() => [.. NetworkInterface.GetAllNetworkInterfaces().Select(static device => device.Name)];

    private static List<int> DescendantsOf(int process)
    {
        var parents = new Dictionary<int, int>();
        foreach (var folder in System.IO.Directory.EnumerateDirectories("/proc"))
        {
            try
            {
                if (int.TryParse(Path.GetFileName(folder), out var id))
                {
                    // "id (name) state parent …"; the name may hold anything.
                    var status = File.ReadAllText(Path.Combine(folder, "stat"));
                    parents.Add(id, int.Parse(status[(status.LastIndexOf(')') + 2)..].Split(' ')[1], CultureInfo.InvariantCulture));
                }
            }
            catch (IOException)
            {
                // It has just ended.
            }
        }

        var found = new List<int>();
        for (var i = -1; i < found.Count; i++)
        {
            found.AddRange(parents.Where(pair => pair.Value == (i < 0 ? process : found[i])).Select(static pair => pair.Key));
        }

        return found;
    }
}
