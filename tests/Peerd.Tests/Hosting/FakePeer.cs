using System.Collections.Concurrent;
using System.Net;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>Answers one range.</summary>
internal delegate Task AnswerRange(FetchRange range, IServerStreamWriter<FetchRangeResponse> answers, ServerCallContext call);

/// <summary>Answers one lookup; the stream ends with the task.</summary>
internal delegate Task AnswerLookup(IAsyncStreamReader<LookupRequest> asked, IServerStreamWriter<LookupResponse> answers, ServerCallContext call);

/// <summary>A member of the mesh that speaks the protocol through the generated code and does what the test tells it.</summary>
internal sealed class FakePeer : PeerService.PeerServiceBase, IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly CancellationTokenSource _stopping = new();
    private readonly List<IDisposable> _calls = [];
    private readonly ConcurrentBag<Task> _taking = [];
    private readonly ConcurrentQueue<long> _offsets = [];
    private readonly ConcurrentQueue<AnnounceRequest> _announced = [];
    private int _lookups;

    private FakePeer(string name)
    {
        Name = name;
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0, listener => listener.Protocols = HttpProtocols.Http2));
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(100));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(this);
        _app = builder.Build();
        _app.MapGrpcService<FakePeer>();
    }

    public string Name { get; }

    public IPEndPoint EndPoint { get; private set; } = new(IPAddress.None, 0);

    /// <summary>How ranges are answered; NOT_HELD at first.</summary>
    public AnswerRange Answer { get; set; } = (range, answers, _) => answers.WriteAsync(End(range, RangeStatus.NotHeld));

    /// <summary>How lookups are answered; never at first.</summary>
    public AnswerLookup? AnswerLookup { get; set; }

    /// <summary>What it says unasked, again and again, to who announces something; nothing at first.</summary>
    public Func<AnnounceResponse?> Unasked { get; set; } = static () => null;

    /// <summary>Ranges that were asked for.</summary>
    public int RangesAsked => _offsets.Count;

    /// <summary>Where the ranges began that were asked for, in order.</summary>
    public IReadOnlyList<long> OffsetsAsked => [.. _offsets];

    /// <summary>All that was announced to it, in order.</summary>
    public IReadOnlyList<AnnounceRequest> Announced => [.. _announced];

    /// <summary>Lookups that were begun.</summary>
    public int LookupsAsked => Volatile.Read(ref _lookups);

    public static async Task<FakePeer> StartAsync(string name)
    {
        var peer = new FakePeer(name);
        await peer._app.StartAsync();
        var url = new Uri(peer._app.Urls.Single());
        peer.EndPoint = new IPEndPoint(IPAddress.Loopback, url.Port);
        return peer;
    }

    /// <summary>The end of a range.</summary>
    public static FetchRangeResponse End(FetchRange range, RangeStatus status, params IEnumerable<string> holders) =>
        new() { Id = range.Id, End = new RangeEnd { Status = status, Holders = { holders } } };

    /// <summary>What an honest holder of the content answers.</summary>
    public static IEnumerable<FetchRangeResponse> Honest(FetchRange range, SampleContent content)
    {
        yield return new FetchRangeResponse { Id = range.Id, Head = new RangeHead { Size = content.Bytes.Length } };
        var end = range.Length == 0 ? content.Bytes.Length : range.Offset + range.Length;
        for (var offset = range.Offset; offset < end;)
        {
            var frame = content.Frame(content.Layout.FrameAt(offset)).ToArray();
            yield return FrameOf(range, offset, frame);
            offset += frame.Length;
        }

        yield return End(range, RangeStatus.Complete);
    }

    /// <summary>A frame with a right checksum.</summary>
    public static FetchRangeResponse FrameOf(FetchRange range, long offset, byte[] data) =>
        new() { Id = range.Id, Frame = new Frame { Offset = offset, Checksum = FrameChecksum.Compute(data), Data = ByteString.CopyFrom(data) } };

    /// <summary>Tells an owner that this peer holds the whole of these contents, and no others, and returns when it has heard; the stream stays open.</summary>
    public Task<AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse>> AnnounceAsync(TestNode owner, params SampleContent[] contents) =>
        AnnounceAsync(owner, [.. contents.Select(content => new Availability { Digest = content.Digest.ToString(), Size = content.Bytes.Length, Complete = true })]);

    /// <summary>Tells an owner this, true or not, and returns when it has heard; the stream stays open.</summary>
    public async Task<AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse>> AnnounceAsync(TestNode owner, IReadOnlyList<Availability> contents)
    {
        var call = ClientOf(owner).Announce();
        Keep(call);
        await call.RequestStream.WriteAsync(new AnnounceRequest
        {
            Sequence = 1,
            Member = Member(),
            Contents = { contents },
            Synchronized = true,
        });
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        return call;
    }

    /// <summary>Made-up checksums of pieces of four frames.</summary>
    public static IEnumerable<PieceChecksums> ChecksumsOf(int first, int count) =>
        Enumerable.Range(first, count).Select(piece => new PieceChecksums { Piece = (uint)piece, Frames = { 1, 2, 3, 4 } });

    /// <summary>Asks the owner for a content that nobody has, tells checksums of so many of its pieces, and returns when it has heard. The lookup stays open.</summary>
    public async Task TellChecksumsAsync(TestNode owner, Digest content, long size, int pieces)
    {
        var call = ClientOf(owner).Lookup();
        Keep(call);
        await call.RequestStream.WriteAsync(new LookupRequest { Want = new Want { Member = Member(), Digest = content.ToString(), Size = size, CanReachOrigin = true } });
        do
        {
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        }
        while (call.ResponseStream.Current.Granted.Count == 0);
        _taking.Add(TakeAllAsync(call));
        const int AtOnce = 10_000;
        for (var piece = 0; piece < pieces; piece += AtOnce)
        {
            await call.RequestStream.WriteAsync(new LookupRequest { Report = new GrantReport { Checksums = { ChecksumsOf(piece, Math.Min(AtOnce, pieces - piece)) } } });
        }

        await call.RequestStream.WriteAsync(new LookupRequest { Report = new GrantReport { Arrived = { new PieceRun { First = 0, Count = 1 } } } });
        await Wait.UntilAsync(() => owner.Directory.Find(content, Name) is { Pieces.Count: 1 }, "the owner has heard of the piece");
    }

    /// <summary>
    /// Asks the owner for the content and reports all that it is granted as read, with the right checksums, unless it lies.
    /// The lookup stays open, so that the owner keeps them.
    /// </summary>
    public async Task ReadFromOriginAsync(TestNode owner, SampleContent content, bool isLying = false)
    {
        var call = ClientOf(owner).Lookup();
        Keep(call);
        await call.RequestStream.WriteAsync(new LookupRequest
        {
            Want = new Want { Member = Member(), Digest = content.Digest.ToString(), Size = content.Bytes.Length, CanReachOrigin = true },
        });
        var report = new GrantReport { Arrived = { new PieceRun { First = 0, Count = (uint)content.Layout.PieceCount } } };
        for (var piece = 0; piece < content.Layout.PieceCount; piece++)
        {
            var checksums = new PieceChecksums { Piece = (uint)piece };
            for (var frame = content.Layout.FirstFrameOf(piece); frame < content.Layout.FirstFrameOf(piece) + content.Layout.FramesIn(piece); frame++)
            {
                checksums.Frames.Add(FrameChecksum.Compute(content.Frame(frame)) + (isLying ? 1UL : 0));
            }

            report.Checksums.Add(checksums);
        }

        do
        {
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        }
        while (call.ResponseStream.Current.Granted.Count == 0);
        await call.RequestStream.WriteAsync(new LookupRequest { Report = report });
        await Wait.UntilAsync(() => owner.Directory.Find(content.Digest, Name) is { } held && held.Pieces.IsFull, "the owner has heard of the pieces");
    }

    public override async Task Announce(IAsyncStreamReader<AnnounceRequest> requestStream, IServerStreamWriter<AnnounceResponse> responseStream, ServerCallContext context)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, _stopping.Token);
        using var writing = new SemaphoreSlim(1);
        var saying = SayAsync();
        await foreach (var request in requestStream.ReadAllAsync(context.CancellationToken))
        {
            _announced.Enqueue(request);
            await WriteAsync(new AnnounceResponse { Acknowledged = request.Sequence });
        }

        await ended.CancelAsync();
        await saying.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        async Task SayAsync()
        {
            while (true)
            {
                await Task.Delay(10, ended.Token);
                if (Unasked() is { } said)
                {
                    await WriteAsync(said);
                }
            }
        }

        async Task WriteAsync(AnnounceResponse response)
        {
            await writing.WaitAsync(ended.Token);
            try
            {
                await responseStream.WriteAsync(response, ended.Token);
            }
            finally
            {
                writing.Release();
            }
        }
    }

    public override async Task Lookup(IAsyncStreamReader<LookupRequest> requestStream, IServerStreamWriter<LookupResponse> responseStream, ServerCallContext context)
    {
        Interlocked.Increment(ref _lookups);
        await (AnswerLookup is { } answer ? answer(requestStream, responseStream, context) : NeverAsync(context));
    }

    public override async Task FetchRange(IAsyncStreamReader<FetchRangeRequest> requestStream, IServerStreamWriter<FetchRangeResponse> responseStream, ServerCallContext context)
    {
        await foreach (var request in requestStream.ReadAllAsync(context.CancellationToken))
        {
            if (request.Range is { } range)
            {
                _offsets.Enqueue(range.Offset);
                await Answer(range, responseStream, context);
            }
        }
    }

    /// <summary>Waits until the caller gives up, or the peer ends.</summary>
    public async Task NeverAsync(ServerCallContext call)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(call.CancellationToken, _stopping.Token);
        await Task.Delay(Timeout.Infinite, either.Token);
    }

    /// <summary>From now on connections to it are refused; what it announced stays.</summary>
    public Task StopListeningAsync() => _app.StopAsync();

    /// <summary>Ends all that it has called.</summary>
    public void HangUp()
    {
        _calls.ForEach(call => call.Dispose());
        _calls.Clear();
    }

    public async ValueTask DisposeAsync()
    {
        await _stopping.CancelAsync();
        HangUp();
        await Task.WhenAll(_taking);
        await _app.DisposeAsync();
        _stopping.Dispose();
    }

    private PeerService.PeerServiceClient ClientOf(TestNode node)
    {
        var channel = GrpcChannel.ForAddress($"http://{node.MeshEndPoint}");
        Keep(channel);
        return new PeerService.PeerServiceClient(channel);
    }

    // Who takes nothing is cut off.
    private static async Task TakeAllAsync(AsyncDuplexStreamingCall<LookupRequest, LookupResponse> call)
    {
        try
        {
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
            {
            }
        }
        catch (Exception e) when (e is RpcException or ObjectDisposedException)
        {
        }
    }

    private void Keep(IDisposable call) => _calls.Insert(0, call);

    private Member Member() => new() { Node = Name, Incarnation = 1 };
}
