using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>A process that serves the benchmark's file over HTTP/1.1.</summary>
/// <param name="Name">What tables call it.</param>
/// <param name="Process">The process.</param>
/// <param name="Url">The file.</param>
internal sealed record HttpServer(string Name, RunningProcess Process, Uri Url);
