using System.Diagnostics;
using System.Net;
using System.Text;
using Peerd.Benchmarks.Measuring;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Benchmarks.Benchmarks;

/// <summary>Building the ring of a large mesh, and finding who is responsible for a content.</summary>
internal sealed class RingBenchmark : IBenchmark
{
    private const int Members = 5_000;
    private const int Replicas = 2;
    private const int Contents = 4_096;
    private const int Lookups = 1_000_000;
    private const int WarmUps = 5;
    private const double BuildTarget = 50;

    public string Name => "ring";

    public string Description => $"Build of the ring of {Members} members, and look-ups in it.";

    public string UsualDuration => "10 s";

    public Task<IReadOnlyList<Result>> RunAsync(BenchmarkPlan plan, CancellationToken cancellationToken)
    {
        var list = new MemberList(Enumerable.Range(0, Members).Select(i => new Member($"node-{i:0000}", new DnsEndPoint($"10.0.{i / 256}.{i % 256}", 30_001), $"zone-{i % 3}")));
        var contents = Enumerable.Range(0, Contents).Select(i => Digest.OfSha256(Encoding.ASCII.GetBytes($"content {i}"))).ToArray();
        var builds = new List<double>();
        var lookups = new List<double>();
        var allocated = new List<double>();
        for (var round = -WarmUps; round < plan.Rounds; round++)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var start = Stopwatch.GetTimestamp();
            var ring = new HashRing(list);
            var build = Stopwatch.GetElapsedTime(start);

            var before = GC.GetAllocatedBytesForCurrentThread();
            start = Stopwatch.GetTimestamp();
            FindAll(ring, contents);
            var find = Stopwatch.GetElapsedTime(start);
            if (round >= 0)
            {
                builds.Add(build.TotalMilliseconds);
                lookups.Add(Lookups / find.TotalSeconds);
                allocated.Add((GC.GetAllocatedBytesForCurrentThread() - before) / (double)Lookups);
            }
        }

        return Task.FromResult<IReadOnlyList<Result>>(
        [
            new($"{Members} members", "build", "ms", Better.Lower, builds, BuildTarget),
            new($"{Members} members", "look-ups", "1/s", Better.Higher, lookups),
            new($"{Members} members", "allocated per look-up", "B", Better.Lower, allocated, 0),
        ]);
    }

    private static void FindAll(HashRing ring, Digest[] contents)
    {
        Span<int> responsible = stackalloc int[Replicas];
        for (var i = 0; i < Lookups; i++)
        {
            if (ring.FindResponsible(contents[i % Contents], responsible) != Replicas)
            {
                throw new InvalidOperationException("the ring has fewer members than it was given");
            }
        }
    }
}
