using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Ranges;

/// <summary>Who is asked for a content, and from where.</summary>
/// <param name="Name">What people call it.</param>
/// <param name="Url">The content.</param>
/// <param name="Host">Where the asking connections begin; null for this process's own network.</param>
internal sealed record RangeServer(string Name, Uri Url, LabHost? Host);
