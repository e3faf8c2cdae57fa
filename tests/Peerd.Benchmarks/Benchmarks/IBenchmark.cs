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

    Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken);
}

/// <summary>What the caller asked for.</summary>
/// <param name="FileSize">Bytes of the file that is moved.</param>
/// <param name="Rounds">How often each case is measured.</param>
/// <param name="Progress">Takes a line for people.</param>
internal sealed record BenchmarkPlan(long FileSize, int Rounds, Action<string> Progress);
