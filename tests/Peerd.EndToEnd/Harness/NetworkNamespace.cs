using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A network of its own for some processes of a lab. It has no name and lives as long as the process that holds it:
/// however the lab ends, the kernel takes the namespace with all its interfaces away, and two labs cannot meet.
/// </summary>
internal sealed class NetworkNamespace
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);

    private readonly Lab _lab;
    private readonly string _name;
    private readonly RunningProcess _holder;

    private NetworkNamespace(Lab lab, string name, RunningProcess holder)
    {
        _lab = lab;
        _name = name;
        _holder = holder;
    }

    /// <summary>How <c>ip</c> names it: the id of a process within.</summary>
    public int Id => _holder.Id;

    private string NamespaceFile => FileOf(_holder.Id);

    /// <summary>The namespaces of all processes, as the kernel names them.</summary>
    public static IEnumerable<string> OfProcesses() =>
        System.IO.Directory.EnumerateDirectories("/proc")
            .Select(folder => int.TryParse(Path.GetFileName(folder), out var id) ? OfProcess(id) : string.Empty)
            .Where(name => name.Length > 0)
            .Distinct();

    /// <summary>The namespace of a process; empty when it has just ended.</summary>
    public static string OfProcess(int id)
    {
        try
        {
            return new FileInfo(FileOf(id)).LinkTarget ?? string.Empty;
        }
        catch (IOException)
        {
            return string.Empty;
        }
    }

    /// <summary>Makes an empty namespace.</summary>
    public static async Task<NetworkNamespace> CreateAsync(Lab lab, string name)
    {
        var own = OfProcess(Environment.ProcessId);
        var holder = await lab.StartAsync($"namespace of {name}", "/usr/bin/unshare", ["--net", "--", "/usr/bin/sleep", "infinity"]);
        await Wait.UntilAsync($"{name} has its namespace", holder, () => Task.FromResult(OfProcess(holder.Id) is { Length: > 0 } name && name != own), Timeout);
        return new NetworkNamespace(lab, name, holder);
    }

    /// <summary>Starts a program within; its process is the program itself.</summary>
    /// <param name="lab">Owns the process: the lab of this namespace, or one that ends earlier.</param>
    /// <param name="name">For people.</param>
    /// <param name="fileName">The program.</param>
    /// <param name="arguments">What it is given.</param>
    public Task<RunningProcess> StartAsync(Lab lab, string name, string fileName, IEnumerable<string> arguments) =>
        lab.StartAsync(name, "/usr/bin/nsenter", [$"--net={NamespaceFile}", "--", fileName, .. arguments]);

    /// <summary>Runs commands within, one after the other, which all must succeed.</summary>
    /// <returns>What they wrote.</returns>
    public async Task<IReadOnlyList<string>> RunAsync(params string[] commands)
    {
        var process = await StartAsync(_lab, $"set-up of {_name}", "/bin/sh", ["-ec", string.Join('\n', commands)]);
        return await process.WaitForExitAsync(Timeout) == 0
            ? process.Output
            : throw new InvalidOperationException($"{process.Name} failed.\n{string.Join('\n', commands)}\n{process.Tail()}");
    }

    /// <summary>Bytes that an interface has sent and received, as the kernel hands packets over: the parts of a large one share their headers.</summary>
    public async Task<InterfaceTraffic> ReadTrafficAsync(string device)
    {
        // "  eth0: received packets errors dropped fifo frame compressed multicast sent …"
        var line = Array.Find(await File.ReadAllLinesAsync($"/proc/{_holder.Id}/net/dev"), line => line.AsSpan().TrimStart().StartsWith(device + ":"))
            ?? throw new InvalidOperationException($"{_name} has no {device}");
        var fields = line[(line.IndexOf(':', StringComparison.Ordinal) + 1)..].Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return new InterfaceTraffic(long.Parse(fields[0]), long.Parse(fields[8]));
    }

    /// <summary>A TCP socket of this namespace, which this process may use like any other.</summary>
    public Task<Socket> OpenSocketAsync()
    {
        // A socket stays in the namespace of the thread that makes it; the thread ends, so that no other work runs there.
        var opened = new TaskCompletionSource<Socket>(TaskCreationOptions.RunContinuationsAsynchronously);
        var thread = new Thread(() =>
        {
            try
            {
                using var handle = File.OpenHandle(NamespaceFile);
                if (NativeMethods.SetNamespace(handle, NativeMethods.NewNetwork) != 0)
                {
                    throw new InvalidOperationException($"cannot enter the namespace of {_name}: error {Marshal.GetLastPInvokeError()}");
                }

                opened.SetResult(new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true });
            }
            catch (Exception e)
            {
                opened.SetException(e);
            }
        })
        {
            IsBackground = true,
            Name = "opens a socket",
        };
        thread.Start();
        return opened.Task;
    }

    private static string FileOf(int process) => $"/proc/{process}/ns/net";

    private static class NativeMethods
    {
        public const int NewNetwork = 0x4000_0000;

        [DllImport("libc", EntryPoint = "setns", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int SetNamespace(SafeFileHandle file, int kind);
    }
}

/// <summary>What has passed an interface since it is there.</summary>
internal readonly record struct InterfaceTraffic(long ReceivedBytes, long SentBytes);
