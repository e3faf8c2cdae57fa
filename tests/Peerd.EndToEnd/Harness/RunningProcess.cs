using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Peerd.EndToEnd.Harness;

/// <summary>A real process with everything it has written. Thread-safe.</summary>
internal sealed class RunningProcess : IAsyncDisposable
{
    private const int SigInt = 2;
    private const int SigKill = 9;
    private const int SigTerm = 15;
    private const int SigCont = 18;
    private const int SigStop = 19;

    private readonly Process _process;
    private readonly Lock _gate = new();
    private readonly List<string> _output = [];
    private readonly List<string> _errors = [];
    private readonly TextWriter? _kept;
    private readonly Task _exited;

    private RunningProcess(string name, Process process, TextWriter? kept)
    {
        Name = name;
        _kept = kept;
        Id = process.Id;
        _process = process;
        process.OutputDataReceived += (_, line) => Add(_output, line.Data);
        process.ErrorDataReceived += (_, line) => Add(_errors, line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _exited = process.WaitForExitAsync();
    }

    /// <summary>For people.</summary>
    public string Name { get; }

    /// <summary>Process id.</summary>
    public int Id { get; }

    /// <summary>The process has ended and all of its output is here.</summary>
    public bool HasExited => _exited.IsCompleted;

    /// <summary>Code of a process that has ended.</summary>
    public int ExitCode => _process.ExitCode;

    /// <summary>Lines of standard output so far.</summary>
    public IReadOnlyList<string> Output => Copy(_output);

    /// <summary>Lines of standard error so far.</summary>
    public IReadOnlyList<string> Errors => Copy(_errors);

    /// <summary>Starts a program.</summary>
    public static async Task<RunningProcess> StartAsync(
        string name, string fileName, IEnumerable<string> arguments, string? workingDirectory = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(fileName, arguments)
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = workingDirectory ?? string.Empty,
        };
        if (workingDirectory is not null)
        {
            // What a program leaves behind that is killed goes with the folder.
            start.Environment["TMPDIR"] = workingDirectory;
        }

        foreach (var (key, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[key] = value;
        }

        var process = await ProcessLauncher.StartAsync(start);
        process.StandardInput.Close();

        // Others may tell what they were told: a registry its clients' headers, a client its own password.
        string[] ours = [Repository.Peerd[^1], .. Repository.OtherPeerd?[^1..] ?? []];
        var isOurs = ours.Any(program => fileName == program || arguments.Contains(program));
        return new RunningProcess(name, process, isOurs ? TestOutput.Open(name) : null);
    }

    /// <summary>Waits for the end and returns the exit code.</summary>
    /// <exception cref="TimeoutException">It has not ended in time.</exception>
    public async Task<int> WaitForExitAsync(TimeSpan timeout)
    {
        try
        {
            await _exited.WaitAsync(timeout);
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{Name} has not ended within {timeout.TotalSeconds:0} s.\n{Tail()}", e);
        }

        return ExitCode;
    }

    /// <summary>Asks the process to end (SIGTERM) and returns its exit code.</summary>
    public Task<int> StopAsync(TimeSpan timeout)
    {
        Terminate();
        return WaitForExitAsync(timeout);
    }

    /// <summary>Sends SIGINT, as Ctrl-C does.</summary>
    public void Interrupt() => Send(SigInt);

    /// <summary>Sends SIGTERM.</summary>
    public void Terminate() => Send(SigTerm);

    /// <summary>Stops it from running (SIGSTOP): its connections stay, and nobody answers.</summary>
    public void Freeze() => Send(SigStop);

    /// <summary>Lets it run again (SIGCONT).</summary>
    public void Thaw() => Send(SigCont);

    /// <summary>Ends the process at once (SIGKILL).</summary>
    public async Task KillAsync()
    {
        Send(SigKill);
        await WaitForExitAsync(TimeSpan.FromSeconds(10));
    }

    /// <summary>The last lines of both outputs, for error texts.</summary>
    public string Tail(int lines = 30) =>
        $"--- {Name} (pid {Id}{(HasExited ? $", exit code {ExitCode}" : ", running")})\n{string.Join('\n', Output.TakeLast(lines).Concat(Errors.TakeLast(lines)))}";

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        if (!HasExited)
        {
            await KillAsync();
        }

        _process.Dispose();
        lock (_gate)
        {
            _kept?.Dispose();
        }
    }

    private void Send(int signal)
    {
        if (!HasExited)
        {
            _ = NativeMethods.Kill(Id, signal);
        }
    }

    private void Add(List<string> lines, string? line)
    {
        if (line is null)
        {
            return;
        }

        lock (_gate)
        {
            lines.Add(line);
            _kept?.WriteLine(line);
        }
    }

    private string[] Copy(List<string> lines)
    {
        lock (_gate)
        {
            return [.. lines];
        }
    }

    private static class NativeMethods
    {
        [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
        [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
        public static extern int Kill(int process, int signal);
    }
}
