using Grpc.Net.Client;
using Peerd.Contracts.V1;

namespace Peerd.Benchmarks.Servers;

/// <summary>Reads a content from a node over the mesh and discards the bytes.</summary>
internal sealed class MeshReader : IDisposable
{
    private const int Window = 4 << 20;

    private readonly GrpcChannel _channel;

    /// <param name="node">The node's mesh listener.</param>
    public MeshReader(Uri node) => _channel = GrpcChannel.ForAddress(node, new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler { InitialHttp2StreamWindowSize = Window },
        DisposeHttpClient = true,
    });

    /// <summary>Reads everything and returns how many bytes it was.</summary>
    public async Task<long> ReadAsync(BenchmarkFile file, CancellationToken cancellationToken)
    {
        using var call = new PeerService.PeerServiceClient(_channel).FetchRange(cancellationToken: cancellationToken);
        await call.RequestStream.WriteAsync(
            new FetchRangeRequest { Range = new FetchRange { Id = 1, Digest = file.Digest.ToString() } }, cancellationToken);
        var bytes = 0L;
        while (await call.ResponseStream.MoveNext(cancellationToken))
        {
            switch (call.ResponseStream.Current)
            {
                case { Frame: { } frame }:
                    bytes += frame.Data.Length;
                    break;
                case { End: { } end } when end.Status != RangeStatus.Complete:
                    throw new InvalidOperationException($"the node ended the range with {end.Status}: {end.Message}");
                case { End: not null }:
                    await call.RequestStream.CompleteAsync();
                    return bytes;
            }
        }

        throw new InvalidOperationException($"the node closed the stream after {bytes} bytes");
    }

    public void Dispose() => _channel.Dispose();
}
