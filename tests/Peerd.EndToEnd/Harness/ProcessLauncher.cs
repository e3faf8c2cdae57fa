using System.Collections.Concurrent;
using System.Diagnostics;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Starts processes that the kernel kills when this process dies, however it dies. The kernel ties a child to
/// the thread that started it, so all are started by one thread that lives as long as the process.
/// </summary>
internal static class ProcessLauncher
{
    private static readonly BlockingCollection<Action> Queue = [];

    static ProcessLauncher()
    {
        new Thread(Work) { IsBackground = true, Name = "process launcher" }.Start();
    }

    /// <summary>Starts the process.</summary>
    /// <param name="start">What to start; changed by this call.</param>
    public static Task<Process> StartAsync(ProcessStartInfo start)
    {
        // setpriv asks for the death signal and then becomes the program: the process id stays the same.
        string[] program = [start.FileName, .. start.ArgumentList];
        start.FileName = "/usr/bin/setpriv";
        start.ArgumentList.Clear();
        foreach (var argument in (string[])["--pdeathsig", "KILL", "--", .. program])
        {
            start.ArgumentList.Add(argument);
        }

        var started = new TaskCompletionSource<Process>(TaskCreationOptions.RunContinuationsAsynchronously);
        Queue.Add(() =>
        {
            try
            {
                started.SetResult(Process.Start(start) ?? throw new InvalidOperationException($"{program[0]} did not start"));
            }
            catch (Exception e)
            {
                started.SetException(e);
            }
        });
        return started.Task;
    }

    private static void Work()
    {
        foreach (var action in Queue.GetConsumingEnumerable())
        {
            action();
        }
    }
}
