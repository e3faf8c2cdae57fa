using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Swarm;

namespace Peerd.Benchmarks.Servers;

/// <summary>Reads a content from a node with the node's own client, as many segments at once as a download has open, and discards the bytes.</summary>
internal sealed class MeshReader : IDisposable
{
    private static readonly int OpenRanges = new DownloaderPolicy().RequestsPerPeer;

    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly Peer _peer;

    /// <param name="node">The node's mesh listener.</param>
    /// <param name="tls">How it speaks.</param>
    public MeshReader(Uri node, MeshTls tls) => _peer = new Peer(
        new Member("measured", new DnsEndPoint(node.Host, node.Port), string.Empty),
        "reader",
        new MeshOptions(),
        new PeerTraffic.Counters(),
        new MeshMetrics(_services.GetRequiredService<IMeterFactory>()),
        tls,
        TimeProvider.System);

    /// <summary>Reads everything, checks every frame, and returns how many bytes it was.</summary>
    public async Task<long> ReadAsync(BenchmarkFile file, CancellationToken cancellationToken)
    {
        var layout = new ContentLayout(file.Size);
        var sink = new CountingSink();
        await Parallel.ForEachAsync(
            Enumerable.Range(0, layout.SegmentCount),
            new ParallelOptions { MaxDegreeOfParallelism = OpenRanges, CancellationToken = cancellationToken },
            async (segment, stop) =>
            {
                var outcome = await _peer.FetchAsync(new RangeRequest(file.Digest, layout, layout.Segment(segment)), sink, stop);
                if (outcome.Kind != RangeOutcomeKind.Complete)
                {
                    throw new InvalidOperationException($"segment {segment}: {outcome.Kind} {outcome.Error}");
                }
            });
        return sink.Bytes;
    }

    public void Dispose()
    {
        _peer.Dispose();
        _services.Dispose();
    }

    private sealed class CountingSink : IRangeSink
    {
        private long _bytes;

        public long Bytes => Interlocked.Read(ref _bytes);

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            Interlocked.Add(ref _bytes, data.Length);
            return true;
        }

        public void Told(string mediaType)
        {
        }

        public void Waiting()
        {
        }
    }
}
