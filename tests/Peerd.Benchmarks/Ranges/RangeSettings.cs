using System.CommandLine;
using Peerd.Benchmarks.Measuring;
using Peerd.Node.Cli;

namespace Peerd.Benchmarks.Ranges;

/// <summary>What the range benchmark is asked to do.</summary>
/// <param name="Kinds">Where the bytes are.</param>
/// <param name="RangeSizes">Bytes of the ranges.</param>
/// <param name="Patterns">In which order they are read.</param>
/// <param name="Rate">Bits per second of each host's link, each way; null when all run on this machine's loopback.</param>
/// <param name="Duration">How long one server is read from at most.</param>
internal sealed record RangeSettings(
    IReadOnlyList<RangeKind> Kinds, IReadOnlyList<int> RangeSizes, IReadOnlyList<RangePattern> Patterns, long? Rate, TimeSpan Duration)
{
    private static readonly Option<string> CasesOption = ListOption.OfNames<RangeKind>("--cases", "What is measured", NamesOf<RangeKind>());
    private static readonly Option<string> RangesOption = ListOption.OfNumbers("--ranges", "KiB of the ranges.", "4,64,1024", 1024);
    private static readonly Option<string> PatternsOption = ListOption.OfNames<RangePattern>("--patterns", "In which order they are read", NamesOf<RangePattern>());
    private static readonly Option<int> RateOption = CommonOptions.Number("--rate", "Mbit/s of each host's link, each way, which needs root; 0 for all on loopback.", 0, 0, 10_000);
    private static readonly Option<int> SecondsOption = CommonOptions.Number("--seconds", "How long one server is read from at most.", 3, 1, 60);

    public static IReadOnlyList<Option> Options { get; } = [CasesOption, RangesOption, PatternsOption, RateOption, SecondsOption];

    public static RangeSettings From(ParseResult parsed) => new(
        [.. ListOption.Items(parsed.GetValue(CasesOption)).Select(item => Enum.Parse<RangeKind>(item, ignoreCase: true)).Distinct().Order()],
        [.. ListOption.Items(parsed.GetValue(RangesOption)).Select(item => int.Parse(item) << 10).Distinct()],
        [.. ListOption.Items(parsed.GetValue(PatternsOption)).Select(item => Enum.Parse<RangePattern>(item, ignoreCase: true)).Distinct().Order()],
        parsed.GetValue(RateOption) is > 0 and var rate ? rate * 1_000_000L : null,
        TimeSpan.FromSeconds(parsed.GetValue(SecondsOption)));

    /// <summary>Everything of this kind.</summary>
    public IEnumerable<RangeCase> CasesOf(RangeKind kind) =>
        from size in RangeSizes
        from pattern in Patterns
        select new RangeCase(kind, size, pattern);

    private static string NamesOf<T>()
        where T : struct, Enum => string.Join(',', Enum.GetNames<T>()).ToLowerInvariant();
}
