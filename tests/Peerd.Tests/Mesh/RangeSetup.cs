using System.Diagnostics.Metrics;
using System.Net;
using System.Threading.Channels;
using Grpc.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Node.Storage;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>A <see cref="RangeServer"/> with a cache, a clock that the test moves and a download that the test plays; no sockets.</summary>
internal sealed class RangeSetup : IDisposable
{
    private readonly CacheFolder _folder;
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly CancellationTokenSource _ended = new();
    private readonly MeshDrain _drain;
    private readonly RangeServer _server;
    private readonly Bandwidth _bandwidth;

    /// <param name="uploads">Places.</param>
    /// <param name="limits">Limits; none by default.</param>
    /// <param name="held">Bytes that are held; what is really held by default.</param>
    /// <param name="folder">Of the cache; belongs to it from now on. A new one by default.</param>
    public RangeSetup(int uploads = 64, LimitOptions? limits = null, Func<long>? held = null, CacheFolder? folder = null)
    {
        _folder = folder ?? new CacheFolder();
        var limitOptions = Options.Create(limits ?? new LimitOptions { Memory = "0" });
        Cache = _folder.Open();
        _drain = new MeshDrain(Time);
        _bandwidth = new Bandwidth(limitOptions, Time);
        _server = new RangeServer(
            Cache,
            Incoming,
            new PeerTraffic(),
            Options.Create(new MeshOptions { Uploads = $"{uploads}" }),
            new MeshMetrics(_services.GetRequiredService<IMeterFactory>()),
            _drain,
            _bandwidth,
            new HeldMemory(limitOptions, () => held is null ? 0 : held() - PooledBuffer.HeldBytes),
            Time);
    }

    /// <summary>The process is about to stop.</summary>
    public void Leave() => _drain.Leave();

    public PieceCache Cache { get; }

    public FakeIncoming Incoming { get; } = new();

    public ArmedTime Time { get; } = new();

    /// <summary>Opens a stream of a node and asks for one range on it, or for more without waiting for the first.</summary>
    public ServedStream Ask(FetchRange range, string reader = "reader", IPAddress? address = null, bool isStuck = false, IReadOnlyList<FetchRange>? behind = null)
    {
        var stream = new ServedStream(Time) { IsStuck = isStuck };
        foreach (var asked in (IEnumerable<FetchRange>)[range, .. behind ?? []])
        {
            stream.Send(new FetchRangeRequest { Range = asked });
        }

        stream.Serving = _server.ServeAsync(stream, stream, new RangeCaller(reader, address ?? IPAddress.Loopback), _ended.Token);
        return stream;
    }

    public void Dispose()
    {
        _ended.Cancel();
        _ended.Dispose();
        _bandwidth.Dispose();
        _drain.Dispose();
        Cache.Dispose();
        _folder.Dispose();
        _services.Dispose();
    }
}

/// <summary>What the server believes to be on its way.</summary>
internal sealed class FakeIncoming : IIncomingPieces
{
    private readonly TaskCompletionSource _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile bool _isDownloading;

    /// <summary>A download is under way; none at first.</summary>
    public bool Downloads
    {
        get => _isDownloading;
        set => _isDownloading = value;
    }

    /// <summary>What becomes of a piece; expected while a download is under way, unless the test says otherwise.</summary>
    public Func<int, string?, PieceArrival>? Arrival { get; set; }

    public List<PieceRun> Runs { get; } = [];

    public void Opened() => _opened.SetResult();

    public bool IsDownloading(Digest content) => Downloads;

    public Task OpenedAsync(Digest content) => _opened.Task;

    public PieceArrival ArrivalOf(Digest content, int piece, string? reader) =>
        Arrival?.Invoke(piece, reader) ?? (Downloads ? PieceArrival.Expected : PieceArrival.None);

    public void AddIncoming(Digest content, PieceSet pieces) => pieces.AddRuns(Runs);

    public IReadOnlyList<string> HoldersOf(Digest content, int piece) => ["other"];
}

/// <summary>An answer as it was handed to the connection.</summary>
/// <param name="Answer">The answer.</param>
/// <param name="IsFlushed">It went out at once, and with it all that came before.</param>
/// <param name="At">When, by the clock of the test.</param>
internal sealed record Written(RangeAnswer Answer, bool IsFlushed, DateTimeOffset At)
{
    public bool IsWaiting => Answer.Control?.Waiting is not null;

    public RangeEnd? End => Answer.Control?.End;
}

/// <summary>Both directions of a FetchRange stream.</summary>
internal sealed class ServedStream(TimeProvider time) : IAsyncStreamReader<FetchRangeRequest>, IServerStreamWriter<RangeAnswer>
{
    private readonly Channel<FetchRangeRequest> _requests = Channel.CreateUnbounded<FetchRangeRequest>();
    private readonly Channel<Written> _answers = Channel.CreateUnbounded<Written>();

    public Task Serving { get; set; } = Task.CompletedTask;

    /// <summary>The reader takes nothing: what is to go out at once never does.</summary>
    public bool IsStuck { get; init; }

    public FetchRangeRequest Current { get; private set; } = new();

    public WriteOptions? WriteOptions { get; set; }

    public void Send(FetchRangeRequest request) => _requests.Writer.TryWrite(request);

    public async Task<Written> NextAsync()
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        return await _answers.Reader.ReadAsync(patience.Token);
    }

    /// <summary>The next answer if there is one by now; else null.</summary>
    public Written? TryNext() => _answers.Reader.TryRead(out var next) ? next : null;

    /// <summary>Fails the test when there is an answer that was not read.</summary>
    public void ShouldBeSilent() => Assert.False(_answers.Reader.TryPeek(out var next), $"{next?.Answer.Control} was not expected");

    /// <summary>The end of the range; what comes before it is dropped.</summary>
    public async Task<RangeEnd> EndAsync()
    {
        while (true)
        {
            if ((await NextAsync()).End is { } end)
            {
                return end;
            }
        }
    }

    public async Task<bool> MoveNext(CancellationToken cancellationToken)
    {
        Current = await _requests.Reader.ReadAsync(cancellationToken);
        return true;
    }

    public Task WriteAsync(RangeAnswer message)
    {
        _answers.Writer.TryWrite(new Written(message, IsFlushed: !WriteOptions!.Flags.HasFlag(WriteFlags.BufferHint), time.GetUtcNow()));
        return Task.CompletedTask;
    }

    public Task WriteAsync(RangeAnswer message, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        return IsStuck && !WriteOptions!.Flags.HasFlag(WriteFlags.BufferHint) ? Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken) : WriteAsync(message);
    }
}
