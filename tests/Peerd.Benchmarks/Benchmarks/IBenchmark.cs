using System.CommandLine;
using Peerd.Benchmarks.Measuring;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>One benchmark that can be asked for by name.</summary>
internal interface IBenchmark
{
    string Name { get; }

    /// <summary>What it measures, in one line.</summary>
    string Description { get; }

    /// <summary>How long it takes on two cores.</summary>
    string UsualDuration { get; }

    /// <summary>MiB that are moved unless the caller says otherwise.</summary>
    int UsualMebibytes => 1024;

    /// <summary>How often each case is measured unless the caller says otherwise.</summary>
    int UsualRounds => 5;

    /// <summary>The program fails when a target is missed: there is no room for noise in it.</summary>
    bool FailsOnMiss => false;

    /// <summary>Options that only this benchmark has.</summary>
    IReadOnlyList<Option> Options => [];

    Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken);

    /// <summary>Shows the results to people.</summary>
    void WriteTable(IReadOnlyList<Result> results, TextWriter output) => Report.WriteTable(Name, results, output);
}

/// <summary>What the caller asked for.</summary>
/// <param name="FileSize">Bytes of the file that is moved.</param>
/// <param name="Rounds">How often each case is measured.</param>
/// <param name="Progress">Takes a line for people.</param>
/// <param name="Arguments">Has the values of the benchmark's own options.</param>
internal sealed record BenchmarkPlan(long FileSize, int Rounds, Action<string> Progress, ParseResult Arguments);
