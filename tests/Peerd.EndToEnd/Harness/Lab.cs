namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Owns everything that one test starts: one folder for all files, and all processes. Disposing it ends the
/// processes in reverse order, removes mounts and files, and throws when something is left.
/// </summary>
internal sealed class Lab : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly List<RunningProcess> _processes = [];
    private readonly LabFolder _folder = new();

    /// <summary>Where all files of the test are.</summary>
    public string Folder => _folder.FullName;

    /// <summary>A new folder within <see cref="Folder"/>.</summary>
    public string CreateFolder(string name) => System.IO.Directory.CreateDirectory(Path.Combine(Folder, name)).FullName;

    /// <summary>Starts a program that ends with the lab at the latest.</summary>
    public async Task<RunningProcess> StartAsync(
        string name, string fileName, IEnumerable<string> arguments, IReadOnlyDictionary<string, string>? environment = null)
    {
        var process = await RunningProcess.StartAsync(name, fileName, arguments, Folder, environment);
        lock (_gate)
        {
            _processes.Add(process);
        }

        return process;
    }

    /// <summary>Runs a program to its end.</summary>
    public async Task<RunningProcess> RunAsync(
        string name, string fileName, IEnumerable<string> arguments, TimeSpan timeout, IReadOnlyDictionary<string, string>? environment = null)
    {
        var process = await StartAsync(name, fileName, arguments, environment);
        await process.WaitForExitAsync(timeout);
        return process;
    }

    /// <summary>The last lines of every process, for the output of a failed test.</summary>
    public string Tail()
    {
        lock (_gate)
        {
            return string.Join('\n', _processes.Select(process => process.Tail()));
        }
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        RunningProcess[] processes;
        lock (_gate)
        {
            processes = [.. Enumerable.Reverse(_processes)];
            _processes.Clear();
        }

        foreach (var process in processes)
        {
            await process.DisposeAsync();
        }

        await UnmountAsync();
        _folder.Dispose();

        // A program may have started others that the lab does not know: all of them carry the folder's name.
        var left = ProcessesOf(Folder);
        if (left.Count > 0)
        {
            throw new InvalidOperationException($"processes are left: {string.Join("; ", left)}");
        }
    }

    /// <summary>Command lines of running processes that name this folder.</summary>
    internal static List<string> ProcessesOf(string folder)
    {
        var found = new List<string>();
        foreach (var process in System.IO.Directory.EnumerateDirectories("/proc").Where(path => int.TryParse(Path.GetFileName(path), out _)))
        {
            try
            {
                var command = File.ReadAllText(Path.Combine(process, "cmdline")).Replace('\0', ' ');
                if (command.Contains(folder, StringComparison.Ordinal))
                {
                    found.Add($"{Path.GetFileName(process)} {command}");
                }
            }
            catch (IOException)
            {
                // It has just ended.
            }
        }

        return found;
    }

    private async Task UnmountAsync()
    {
        // A containerd that is killed while it unpacks leaves its mounts behind.
        var mounts = (await File.ReadAllLinesAsync("/proc/self/mountinfo"))
            .Select(line => line.Split(' ')[4])
            .Where(path => path.StartsWith(Folder + "/", StringComparison.Ordinal))
            .Reverse()
            .ToArray();
        foreach (var mount in mounts)
        {
            await using var umount = await RunningProcess.StartAsync("umount", "/bin/umount", ["--lazy", mount]);
            if (await umount.WaitForExitAsync(TimeSpan.FromSeconds(10)) != 0)
            {
                throw new InvalidOperationException($"{mount} cannot be unmounted.\n{umount.Tail()}");
            }
        }
    }
}
