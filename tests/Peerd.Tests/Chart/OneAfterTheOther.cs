namespace Peerd.Tests.Chart;

/// <summary>Tests of the chart run one after the other: each starts many programs, and tests beside them have deadlines.</summary>
[CollectionDefinition(nameof(OneAfterTheOther))]
public sealed class OneAfterTheOther;
