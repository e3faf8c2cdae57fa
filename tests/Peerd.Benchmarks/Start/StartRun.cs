using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Start;

/// <summary>One start of one program, alone and with an empty cache.</summary>
/// <param name="Ready">From the start of the process until it says that it is ready.</param>
/// <param name="IdleMemory">Bytes in memory after some time without work.</param>
internal sealed record StartRun(TimeSpan Ready, long IdleMemory)
{
    private static readonly TimeSpan StopPatience = TimeSpan.FromSeconds(30);

    public static async Task<StartRun> MeasureAsync(Lab lab, string name, IReadOnlyList<string> program, TimeSpan idle, CancellationToken cancellationToken)
    {
        var node = PeerdNode.Create(lab, name);
        node.WriteConfiguration(node.Configure([node]));
        var started = Stopwatch.GetTimestamp();
        var process = await node.LaunchAsync(program);
        var ready = await ReadyProbe.WaitAsync(node, started, cancellationToken);
        await Task.Delay(idle, cancellationToken);
        var memory = ResidentMemory.Of(process);
        await process.StopAsync(StopPatience);
        return new StartRun(ready, memory);
    }
}
