using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Owner;

/// <summary>Requesters played by this process, that ask a real owner for the same content at the same moment.</summary>
internal sealed class PlayedHerd : IDisposable
{
    /// <summary>Time within which all begin, and how many steps that has.</summary>
    private static readonly TimeSpan Arrival = TimeSpan.FromMilliseconds(100);
    private const int Batches = 20;

    private static readonly TimeSpan LeastPatience = TimeSpan.FromSeconds(60);
    private const int Patience = 10;

    private readonly PeerdNode _owner;
    private readonly GrpcChannel[] _channels;
    private readonly CallInvoker[] _invokers;

    public PlayedHerd(PeerdNode owner, int connections)
    {
        _owner = owner;
        _channels = [.. Enumerable.Range(0, connections).Select(_ => GrpcChannel.ForAddress(owner.Mesh, new GrpcChannelOptions
        {
            DisposeHttpClient = true,
            HttpHandler = new SocketsHttpHandler { EnableMultipleHttp2Connections = true, UseProxy = false, UseCookies = false },
        }))];
        _invokers = Array.ConvertAll(_channels, channel => channel.CreateCallInvoker());
    }

    public async Task<OwnerOutcome> RunAsync(int nodes, PlayedContent content, CancellationToken cancellationToken)
    {
        await using var clock = new PlayedClock();
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(LeastPatience + (Patience * content.Ideal));
        var requesters = Enumerable.Range(0, nodes).Select(i => new PlayedRequester(i, content, clock)).ToArray();

        var (processor, self, (busy, possible)) = (ProcessorTime.Of(_owner.Process.Id), ProcessorTime.OfSelf(), ProcessorTime.OfMachine());
        var start = Stopwatch.GetTimestamp();
        var running = new List<Task<string?>>();
        foreach (var batch in requesters.Index().Chunk((nodes + Batches - 1) / Batches))
        {
            running.AddRange(batch.Select(one => one.Item.RunAsync(_invokers[one.Index % _invokers.Length], limit.Token)));
            await Task.Delay(Arrival / Batches, cancellationToken);
        }

        var errors = await Task.WhenAll(running);
        cancellationToken.ThrowIfCancellationRequested();
        var seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        var (busyAfter, possibleAfter) = ProcessorTime.OfMachine();
        return new OwnerOutcome(
            seconds,
            [.. errors.OfType<string>()],
            ProcessorTime.Of(_owner.Process.Id) - processor,
            ProcessorTime.OfSelf() - self,
            requesters.Sum(requester => (long)requester.Sent),
            requesters.Sum(requester => (long)requester.Received),
            requesters.Max(requester => requester.Sent),
            requesters.Max(requester => requester.Received),
            (busyAfter - busy) / (possibleAfter - possible));
    }

    public void Dispose() => Array.ForEach(_channels, channel => channel.Dispose());
}
