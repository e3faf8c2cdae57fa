using System.CommandLine;
using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.Benchmarks.Start;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>How soon a node is ready and what memory it takes without work: the native program beside the build for developers.</summary>
internal sealed class StartBenchmark : IBenchmark
{
    private const string Native = "native program";
    private const string Jit = "build for developers (JIT)";
    private const double NativeReadyTarget = 300;
    private const double JitReadyTarget = 1000;
    private const double NativeMemoryTarget = 64;
    private const double JitMemoryTarget = 100;

    public string Name => "start";

    public string Description => "Time to ready and memory at rest, of the native program and of the build for developers.";

    public string UsualDuration => "70 s";

    public IReadOnlyList<Option> Options => StartSettings.Options;

    public async Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var settings = StartSettings.From(plan.Arguments);
        var table = new ResultTable();
        await using var lab = new Lab();
        var program = await settings.FindProgramAsync(lab, plan.Progress);

        // Neither pays for reading its files from the disk.
        await StartRun.MeasureAsync(lab, "native-0", [program], TimeSpan.Zero, cancellationToken);
        await StartRun.MeasureAsync(lab, "jit-0", Repository.BuiltPeerd, TimeSpan.Zero, cancellationToken);
        for (var round = 1; round <= plan.Rounds; round++)
        {
            await MeasureAsync(Native, $"native-{round}", [program], NativeReadyTarget, NativeMemoryTarget);
            await MeasureAsync(Jit, $"jit-{round}", Repository.BuiltPeerd, JitReadyTarget, JitMemoryTarget);
        }

        return table.Results;

        async Task MeasureAsync(string @case, string node, IReadOnlyList<string> command, double readyTarget, double memoryTarget)
        {
            var run = await StartRun.MeasureAsync(lab, node, command, settings.Idle, cancellationToken);
            var memory = run.IdleMemory / (double)(1 << 20);
            table.Add(@case, "ready", "ms", Better.Lower, run.Ready.TotalMilliseconds, readyTarget);
            table.Add(@case, "idle RSS", "MiB", Better.Lower, memory, memoryTarget);
            plan.Progress(string.Create(CultureInfo.InvariantCulture, $"{node}: ready after {run.Ready.TotalMilliseconds:0} ms, {memory:0.0} MiB"));
        }
    }
}
