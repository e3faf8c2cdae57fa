using System.Diagnostics;
using System.Net;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>
/// Brings one content into the cache: carries out what the <see cref="Downloader"/> decides, and feeds it with what
/// happens. Shared by all readers of the content on this node. Thread-safe.
/// </summary>
internal sealed class Download : IOwnerLinkUser, IOriginReadUser, IOrderedHashUser, IAsyncDisposable
{
    /// <summary>What is kept of pushes that come before the size is known.</summary>
    private const int MostEarlyBytes = 1024 * 1024;

    /// <summary>After so long an origin that failed is tried again for a client that comes again.</summary>
    private static readonly TimeSpan RetryOrigin = TimeSpan.FromSeconds(2);

    /// <summary>Peers that are asked for a frame that a reader waits for, one after the other.</summary>
    private const int UrgentTries = 3;

    private static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan ChallengePatience = TimeSpan.FromMilliseconds(300);

    /// <summary>How long hashing waits for a slow reader, so that it does not push what the reader needs out of memory.</summary>
    private static readonly TimeSpan ReaderPatience = TimeSpan.FromSeconds(5);

    /// <summary>The content without bytes needs no source, and no range of it can be asked for.</summary>
    private static readonly Digest Empty = Digest.OfSha256([]);

    private readonly DownloadServices _services;
    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _stop = new();

    // Asked of the source, it could not be had any more once that is disposed.
    private readonly CancellationToken _stopping;
    private readonly TaskCompletionSource<SourceFailure?> _opened = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource<bool> _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _gaveUp = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly OwnedTasks _tasks;
    private readonly DownloadTrace _trace;
    private readonly Dictionary<int, CancellationTokenSource> _requests = [];
    private readonly List<uint> _learnedOrder = [];
    private readonly UrgentFrames _urgent = new();
    private readonly PeerFetches _fetches;
    private readonly OriginReads _reads;
    private readonly ClientOrigins _origins;
    private readonly OriginOutage _outage = new();
    private readonly DownloadReaders _readers;
    private readonly ArrivingFrames _frames;
    private OwnerLink? _link;
    private ContentLease? _lease;
    private Downloader? _machine;
    private ArrivalReports? _reports;
    private PieceSet? _fromOrigin;
    private TaskCompletionSource _moved = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private List<LookupResponse>? _early = [];
    private long _earlyBytes;
    private bool _isSizeSure;
    private bool _isOwnerWrong;
    private bool _isSizeDisputed;
    private int _mismatches;
    private bool _isAfresh;
    private bool _hasStartedAfresh;
    private int _stored;
    private int _losses;
    private int _longestDemanded;
    private bool _hadSession;
    private bool _isProbing;
    private bool _isOwnerLost;
    private bool _isImpatient;
    private TimeSpan _sizeDueAt;
    private bool _wantsWhole;
    private bool _isClosed;

    /// <param name="services">What all downloads share.</param>
    /// <param name="digest">The content.</param>
    /// <param name="origin">Where the first client would read it.</param>
    /// <param name="isWhole">All of it is wanted, as far as can be told before its size is known.</param>
    public Download(DownloadServices services, Digest digest, OriginReference origin, bool isWhole)
    {
        _services = services;
        _stopping = _stop.Token;
        Digest = digest;
        _tasks = new OwnedTasks(failure => DownloadLog.TaskFailed(services.Logger, failure, digest));
        _trace = new DownloadTrace(digest);
        _fetches = new PeerFetches(services, digest, _trace);
        _reads = new OriginReads(services, digest, _trace, this);
        _origins = new ClientOrigins(origin);
        _readers = new DownloadReaders(_origins);
        _frames = new ArrivingFrames(services, digest, _lock);
        _wantsWhole = isWhole;
        if (origin == OriginReference.None)
        {
            _outage.Explain(new SourceFailure(HttpStatusCode.BadGateway, "no other node has it"));
        }
    }

    public Digest Digest { get; }

    /// <summary>The content, once <see cref="OpenedAsync"/> has completed without failure.</summary>
    public CachedContent Content => _lease!.Content;

    /// <summary>True once it can serve no new reader: finished, failed or stopped.</summary>
    public bool IsOver => _finished.Task.IsCompleted || _isClosed || _opened.Task is { IsCompletedSuccessfully: true, Result: not null };

    /// <summary>It failed because the origin told another size than the mesh had; the next download of the content knows.</summary>
    public bool IsSizeDisputed => Volatile.Read(ref _isSizeDisputed);

    /// <summary>Completes when the size is known: with null, or with the reason why nothing can be read.</summary>
    public Task<SourceFailure?> OpenedAsync => _opened.Task;

    /// <summary>Completes with true when the whole content was found right, with false when it never will be.</summary>
    public Task<bool> FinishedAsync => _finished.Task;

    /// <summary>Completes when nothing more will come, not even of what was here and has been lost.</summary>
    public Task GaveUpAsync => _gaveUp.Task;

    /// <summary>How often all that was here was dropped, because it does not match the digest: what was read before such a moment may be wrong.</summary>
    public int Drops => _frames.Drops;

    /// <summary>Where this download had a frame from; none when it did not bring it.</summary>
    public ByteSource SourceOf(int frame) => _frames.SourceOf(frame);

    /// <summary>Pieces that were asked for and are not here.</summary>
    public int PiecesInFlight
    {
        get
        {
            lock (_lock)
            {
                return _machine?.PiecesInFlight ?? 0;
            }
        }
    }

    /// <summary>Frames that have been stored so far.</summary>
    public int Stored => Volatile.Read(ref _stored);

    /// <summary>
    /// Frames from the beginning on that may be read in order. While contents stay in memory, readers and hashing go side by
    /// side: what one of them has read gives way to others, and the one who comes later would need it again.
    /// </summary>
    public int ReadableFrames => Content.KeepsInMemory && !_finished.Task.IsCompleted ? _frames.Hash.Frames : int.MaxValue;

    /// <summary>Waits until a frame may be read in order, or nothing more comes for this reader.</summary>
    public async ValueTask WaitReadableAsync(int frame, DownloadReader reader, CancellationToken cancellationToken)
    {
        for (var moved = Moved; ReadableFrames <= frame && !_gaveUp.Task.IsCompleted && !reader.RefusedAsync.IsCompleted; moved = Moved)
        {
            await Task.WhenAny(moved, _gaveUp.Task, reader.RefusedAsync).WaitAsync(cancellationToken);
        }
    }

    /// <summary>Starts; called once.</summary>
    public void Start()
    {
        lock (_lock)
        {
            if (_services.Cache.TryOpen(Digest, out var lease))
            {
                Begin(lease);
            }
            else if (Digest == Empty)
            {
                Begin(_services.Cache.Open(Digest, size: 0, mediaType: null));
            }
            else if (_outage.Failure is null && _services.Sizes.Find(Digest) is { } size)
            {
                _isSizeSure = true;
                Begin(_services.Cache.Open(Digest, size, mediaType: null));
            }

            _sizeDueAt = Now + _services.Policy.SizePatience + (_services.Policy.SizeSpread * new Random(StableSeed.Of(Digest, _services.SelfName)).NextDouble());
            _services.Memory.Enter();
            _trace.Join();
            _link = _services.OpenLink(Digest, this);
            _tasks.Run(() => TickAsync(_stopping));
            if (_origins.Current is { Credential: { } credential } origin && credential.Equals(CallerCredential.None))
            {
                _tasks.Run(() => AskForChallengeAsync(origin, _stopping));
            }
        }
    }

    /// <summary>What had to give way in memory, or was found wrong: who reads in order would come to it one piece after the other.</summary>
    private void NoteLosses()
    {
        if (Content.Losses is var losses && losses != _losses && !_gaveUp.Task.IsCompleted)
        {
            _losses = losses;
            _machine!.PiecesLost(Content.SnapshotPieces());

            if (Content.KeepsInMemory && LongestInMemory < _longestDemanded)
            {
                // More downloads than before share the memory.
                DemandsChanged();
            }
        }
    }

    /// <summary>A client that brought nothing may have to bring something: in a herd it is told so before it is its turn to read.</summary>
    private async Task AskForChallengeAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        await Task.Delay(ChallengePatience, _services.Time, cancellationToken);
        if (IsServed())
        {
            return;
        }

        // Once for all contents of a repository: what each node asks for each layer is outside of what owners grant.
        await using var answer = await _services.OpenRepositories.AskAsync(origin, StatAsync, cancellationToken);
        if (answer?.Challenge is null)
        {
            return;
        }

        var failure = SourceFailure.Of(answer);
        lock (_lock)
        {
            if (_machine is null && !_origins.Failed(origin, failure))
            {
                _outage.Began(failure, Now);
                _opened.TrySetResult(failure);
            }
        }

        bool IsServed()
        {
            lock (_lock)
            {
                return _machine is not null || _isProbing || IsOver;
            }
        }

        async Task<OriginResponse?> StatAsync()
        {
            if (IsServed())
            {
                return null;
            }

            using var step = _trace.Step("read", ActivityKind.Internal);
            return await _services.Origin.StatAsync(origin, cancellationToken);
        }
    }

    /// <summary>Another client wants the content and may know another way to the origin. False: it comes too late, and would be told what became of others.</summary>
    public bool TryAddClient(OriginReference origin, bool isWhole, bool isCounted = true)
    {
        lock (_lock)
        {
            if (IsOver)
            {
                return false;
            }

            _trace.Join();
            if (isWhole && !_wantsWhole)
            {
                _wantsWhole = true;
                if (_machine is null)
                {
                    _link?.AskAgain(NewWant());
                }
            }

            if (origin != OriginReference.None)
            {
                OriginMayWorkAgain(_origins.Join(origin, isCounted) ? TimeSpan.Zero : RetryOrigin);
                Unbar();
            }

            return true;
        }
    }

    /// <summary>What came of a client's own way to the origin; null when it was not tried, or works.</summary>
    public SourceFailure? FailureOf(OriginReference origin)
    {
        lock (_lock)
        {
            return _origins.FailureOf(origin);
        }
    }

    /// <summary>A client wants no more of it.</summary>
    public void RemoveClient(OriginReference origin)
    {
        lock (_lock)
        {
            _origins.Leave(origin);
            Unbar();
        }
    }

    /// <summary>A client that comes (again) wants it from the origin, whatever that answered so long ago.</summary>
    private void OriginMayWorkAgain(TimeSpan after)
    {
        if (_outage.Failure is not null && !IsOver && Now - _outage.Since >= after)
        {
            _outage.End();
            _machine?.OriginChanged(Now);
            CarryOut();
            _link?.AskAgain(NewWant());
        }
    }

    /// <summary>Registers a reader of a client that would read it there; only after <see cref="OpenedAsync"/>. Dispose it to say that it needs nothing more.</summary>
    public DownloadReader AddReader(OriginReference origin, ByteRange range, int aheadPieces)
    {
        lock (_lock)
        {
            var reader = new DownloadReader(this, Content.Layout, origin, range, aheadPieces);
            _readers.Add(reader);
            DemandsChanged();
            return reader;
        }
    }

    /// <summary>What is to be fetched besides what readers need, the most wanted first; replaces what was said before.</summary>
    public void SetBackground(IReadOnlyList<BackgroundDemand> demands)
    {
        lock (_lock)
        {
            _readers.SetBackground(demands);
            DemandsChanged();
        }
    }

    /// <summary>
    /// A reader waits for these frames. They are fetched before all else from peers that are known to have them, frame by
    /// frame; for what no peer has the demands must be told.
    /// </summary>
    /// <param name="first">First frame.</param>
    /// <param name="end">Frame behind the last.</param>
    public void FetchUrgently(int first, int end)
    {
        lock (_lock)
        {
            if (_machine is not null)
            {
                _urgent.Await(first, end, Content);
            }

            FetchUrgently(first, end, UrgentTries, Traces.Current);
        }
    }

    /// <summary>Some peer is known to have the piece, and can be asked for parts of it.</summary>
    public bool IsHeldByPeer(int piece)
    {
        lock (_lock)
        {
            return _machine?.IsHeld(piece) ?? false;
        }
    }

    /// <summary>The frame is asked for by <see cref="FetchUrgently(int, int)"/>.</summary>
    public bool IsFetchingUrgently(int frame)
    {
        lock (_lock)
        {
            return _urgent.IsFetching(frame);
        }
    }

    /// <summary>Nobody but the origin could have the frame, and the origin did not give it, or not to a client that would read it there.</summary>
    public bool IsOutOfReach(int frame, OriginReference origin)
    {
        lock (_lock)
        {
            var piece = frame / Content.Layout.FramesPerPiece;
            return !_urgent.IsFetching(frame) && !(_machine?.IsComing(piece) ?? false)
                && (_outage.Failure is not null || (!_origins.MayServe(origin) && !(_machine?.IsFetching(piece) ?? false)));
        }
    }

    /// <summary>Nothing is fetched in the background for this client at the moment: no way of it works.</summary>
    public bool IsBarred(OriginReference origin)
    {
        lock (_lock)
        {
            return _readers.IsBarred(origin);
        }
    }

    /// <summary>True when somebody reads, or waits for the whole.</summary>
    public bool HasReaders
    {
        get
        {
            lock (_lock)
            {
                return !_readers.IsEmpty;
            }
        }
    }

    /// <summary>What becomes of a piece that is not here, as seen by another node, who must not wait for itself.</summary>
    public PieceArrival ArrivalOf(int piece, string? reader)
    {
        lock (_lock)
        {
            return (_fromOrigin?.Contains(piece) ?? false) ? PieceArrival.Coming
                : _machine?.ArrivalOf(piece, reader) is { } arrival and not PieceArrival.Expected ? arrival
                : IsOver ? PieceArrival.None
                : PieceArrival.Expected;
        }
    }

    /// <summary>Adds the pieces that are on their way.</summary>
    public void AddIncoming(PieceSet pieces)
    {
        lock (_lock)
        {
            _machine?.AddIncoming(pieces);
        }
    }

    public IReadOnlyList<string> HoldersOf(int piece)
    {
        lock (_lock)
        {
            return _machine?.HoldersOf(piece) ?? [];
        }
    }

    /// <summary>
    /// Waits for a frame. Whoever waits is known before it is looked for: in memory it may come and go between the two, and
    /// what is gone must be fetched again. It may be gone, too, when the wait is over.
    /// </summary>
    public ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken)
    {
        var arrived = Content.WaitForFrameAsync(frame, cancellationToken);
        FrameLost(frame);
        return arrived;
    }

    /// <summary>A reader needs a frame that is not here: yet, or any more.</summary>
    public void FrameLost(int frame)
    {
        lock (_lock)
        {
            if (_machine is null)
            {
                return;
            }

            var piece = frame / Content.Layout.FramesPerPiece;
            if (!Content.HasFrame(frame) && _machine.Had(piece))
            {
                _machine.PieceLost(piece, Content.KeepsInMemory, Now);
                CarryOut();
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        Task[] tasks;
        lock (_lock)
        {
            if (_isClosed)
            {
                return;
            }

            _isClosed = true;
            _services.Memory.Leave();
            FlushReport();
            _frames.ForgetChecksums();
            tasks = _tasks.Running;
        }

        if (_link is { } link)
        {
            await link.DisposeAsync();
        }

        await _stop.CancelAsync();
        await Task.WhenAll(tasks).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        lock (_lock)
        {
            // What was under way may have taken more checksums until then.
            _frames.ForgetChecksums();
        }

        _opened.TrySetResult(new SourceFailure(HttpStatusCode.ServiceUnavailable, "the node is stopping"));
        GiveUp();
        _lease?.Dispose();
        _stop.Dispose();
    }

    Activity? IOwnerLinkUser.BeginAsking() => _trace.Aside("lookup", ActivityKind.Client)?.SetTag(Traces.Digest, Digest.ToString());

    Want IOwnerLinkUser.CreateWant()
    {
        lock (_lock)
        {
            _machine?.SessionStarted();
            _isOwnerWrong = false;
            var want = NewWant();
            want.Have.AddRange((_lease?.Content.SnapshotPieces().ToPieceRuns() ?? []).Take(ProtocolConstants.MaxHeldRuns));
            want.Reading.AddRange(_machine?.Reading() ?? []);
            want.Fetching.AddRange(_machine?.Fetching() ?? []);
            want.OriginPauseMs = _machine?.OriginPauseMs(Now) ?? OriginOutage.Milliseconds(_outage.PauseLeft(Now));
            want.Continued = _hadSession;
            _hadSession = true;
            // Another session tells it from the beginning.
            _learnedOrder.Clear();
            return want;
        }
    }

    void IOwnerLinkUser.Pushed(LookupResponse push)
    {
        lock (_lock)
        {
            if (_isClosed)
            {
                return;
            }

            _isOwnerLost = false;
            LearnOrder(push.StartupOrder);
            if (push.Revoked.Count > 0)
            {
                DownloadLog.Revoked(_services.Logger, Digest, push.Revoked.Sum(run => (int)run.Count));
            }

            if (_machine is null)
            {
                PushedEarly(push);
                return;
            }

            if (_isSizeSure && push.Size > 0 && push.Size != Content.Size)
            {
                // What it says is of another size than the origin's, and means other bytes. It is not heard any more.
                _isOwnerWrong = true;
            }

            if (_isOwnerWrong)
            {
                _machine.OwnerLost(Now);
                CarryOut();
                return;
            }

            NoteLosses();
            _frames.Told(push.Checksums, _link?.Partner ?? string.Empty);
            _machine.Pushed(push, Now);
            CarryOut();
        }
    }

    void IOwnerLinkUser.OwnerLost()
    {
        lock (_lock)
        {
            if (!_isOwnerLost)
            {
                DownloadLog.OwnerLost(_services.Logger, Digest);
            }

            _isOwnerLost = true;
            if (_machine is not null)
            {
                _machine.OwnerLost(Now);
                CarryOut();
            }
            else if (_outage.Failure is not null)
            {
                _opened.TrySetResult(_outage.Failure);
            }
            else
            {
                Probe();
            }
        }
    }

    internal void ReaderMoved()
    {
        lock (_lock)
        {
            DemandsChanged();
        }

        Move();
    }

    internal void ReaderGone(DownloadReader reader)
    {
        lock (_lock)
        {
            _readers.Remove(reader);
            DemandsChanged();
        }

        Move();
    }

    /// <summary>Completes when a reader or the hashing moves on.</summary>
    private Task Moved => Volatile.Read(ref _moved).Task;

    private void Move() => Interlocked.Exchange(ref _moved, new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).TrySetResult();

    private TimeSpan Now => _services.Time.GetElapsedTime(0);

    private Want NewWant() => new()
    {
        Member = new Contracts.V1.Member { Node = _services.SelfName, Incarnation = _services.Incarnation },
        Digest = Digest.ToString(),
        Size = _lease?.Content.Size ?? 0,
        CanReachOrigin = _outage.Failure is null or { RetryAfter: not null },
        Wanted = { (_machine?.TakeWanted() ?? (_wantsWhole ? [] : [new PieceRun()])).Take(Asker.MostRuns) },
    };

    private void GiveUp()
    {
        _trace.End(isWhole: false, _lease?.Content.Size ?? 0);
        _finished.TrySetResult(false);
        _gaveUp.TrySetResult();
    }

    /// <summary>What others have seen is followed here, but told by them alone.</summary>
    private void LearnOrder(IReadOnlyList<uint> more)
    {
        _learnedOrder.AddRange(more.Take(ProtocolConstants.MaxStartupOrder - _learnedOrder.Count));
        if (_lease is { Content: var content } && _learnedOrder.Count > content.StartupOrder.Count)
        {
            content.Ordered([.. _learnedOrder.Where(piece => piece < content.Layout.PieceCount).Select(piece => (int)piece)], isSeenHere: false);
        }
    }

    /// <summary>Pushes before the size is known. An owner that does not know it has little to say.</summary>
    private void PushedEarly(LookupResponse push)
    {
        _earlyBytes += push.CalculateSize();
        if (push.Size > 0 || _earlyBytes <= MostEarlyBytes)
        {
            _early!.Add(push);
        }

        if (push.Size is > 0 and <= HolderDirectory.MaxSize)
        {
            try
            {
                // What a manifest says of itself goes before the type.
                Begin(_services.Cache.Open(Digest, push.Size, ManifestMediaType.IsSpecific(push.MediaType) ? push.MediaType : null));
            }
            catch (InvalidDataException e)
            {
                Disagree(e.Message);
            }
        }
        else if (push.Granted.Count > 0)
        {
            Probe();
        }
        else if (push.OriginPauseMs > 0)
        {
            // Nothing is known of the content: the client may know another way.
            _opened.TrySetResult(_outage.Failure ?? new SourceFailure(
                HttpStatusCode.TooManyRequests, "the origin asked another node of the mesh for a pause", TimeSpan.FromMilliseconds(push.OriginPauseMs)));
        }
        else if (push.State == LookupState.Unavailable && _outage.Failure is not null)
        {
            _opened.TrySetResult(_outage.Failure);
        }
    }

    /// <summary>
    /// Two sources tell different sizes. What is here of the content is forgotten. Who asks again begins with the size that the
    /// origin told, if it did, and is told nothing by an owner who says otherwise.
    /// </summary>
    private void Disagree(string message, long? originSize = null)
    {
        _isSizeDisputed = originSize is not null;
        if (originSize is { } size)
        {
            _services.Sizes.Told(Digest, size);
        }

        DownloadLog.SizesDiffer(_services.Logger, Digest, message);
        _outage.Explain(new SourceFailure(HttpStatusCode.BadGateway, message));
        _opened.TrySetResult(_outage.Failure);
        GiveUp();
        if (!_services.Cache.TryPeek(Digest, out var content) || !content.IsVerified)
        {
            _services.Cache.Remove(Digest);
        }
    }

    /// <summary>Finds out the size at the origin and reads the beginning while at it.</summary>
    private void Probe()
    {
        if (!_isProbing && _outage.Failure is null)
        {
            _isProbing = true;
            _tasks.Run(() => ProbeAsync(_stopping));
        }
    }

    /// <summary>An owner that answers, and then tells no size and grants nothing, must not hold up who could read the origin.</summary>
    private void ProbeWhenSizeIsOverdue()
    {
        if (_machine is null && !_opened.Task.IsCompleted && Now >= _sizeDueAt)
        {
            _isImpatient = true;
            Probe();
        }
    }

    private async Task ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _reads.ProbeAsync(CurrentOrigin(), cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _opened.TrySetResult(new SourceFailure(HttpStatusCode.BadGateway, e.Message));
            throw;
        }
    }

    void IOriginReadUser.ProbeFailed(OriginReference origin, SourceFailure failure)
    {
        lock (_lock)
        {
            _isProbing = false;
            if (_origins.Failed(origin, failure))
            {
                Probe();
                return;
            }

            _outage.Began(failure, Now);
            if (_machine is not null)
            {
                // Its size has become known in the meantime.
                if (_outage.PauseLeft(Now) is { } pause)
                {
                    _machine.OriginRefused(pause, Now);
                    CarryOut();
                }

                return;
            }

            if (_isOwnerLost || _isImpatient || failure.Challenge is not null)
            {
                // Others may have better luck, but this client can do something about it.
                _opened.TrySetResult(_outage.Failure);
            }

            // What was granted for it is given back, and is not read either when another finds out the size.
            _early?.ForEach(static push => push.Granted.Clear());
            _link?.Report(new GrantReport { GivenBack = { new SegmentRun { First = 0, Count = 1 } }, OriginFailed = true, OriginPauseMs = OriginOutage.Milliseconds(failure.RetryAfter) });
        }
    }

    (DownloadAction.FetchFromOrigin Read, CachedContent Content)? IOriginReadUser.Probed(long size, string? mediaType, int pieces)
    {
        lock (_lock)
        {
            _isProbing = false;
            if (_machine is not null)
            {
                // Its size has become known in the meantime, and others read its beginning.
                return null;
            }

            int id;
            try
            {
                id = Begin(_services.Cache.Open(Digest, size, mediaType), pieces);
            }
            catch (InvalidDataException e)
            {
                Disagree(e.Message, size);
                return null;
            }

            _link?.Report(new GrantReport { Size = size, MediaType = mediaType ?? string.Empty });
            return (new DownloadAction.FetchFromOrigin(id, 0, pieces, IsGranted: true), Content);
        }
    }

    /// <summary>The size is known. Returns the id of the request that is bringing the first pieces already.</summary>
    private int Begin(ContentLease lease, int arrivingPieces = 0)
    {
        _lease = lease;
        var content = lease.Content;
        _fromOrigin = new PieceSet(content.Layout.PieceCount);
        _reports = new ArrivalReports(content);
        _frames.Begin(content);

        // Before the look at the pieces: what is lost after both is noticed.
        _losses = content.Losses;
        _machine = new Downloader(content.Layout, content.SnapshotPieces(), _services.Policy, StableSeed.Of(Digest, _services.SelfName), Now, _wantsWhole);
        if (_outage.PauseLeft(Now) is { } pause)
        {
            _machine.OriginPaused(pause, Now);
        }

        var id = 0;
        if (arrivingPieces > 0)
        {
            // Before the grant for it is heard of, or they would be asked for twice.
            id = _machine.OriginRequestStarted(0, arrivingPieces, Now);
            MarkIncoming(0, arrivingPieces, isIncoming: true);
        }

        foreach (var push in _early ?? [])
        {
            _frames.Told(push.Checksums, _link?.Partner ?? string.Empty);
            _machine.Pushed(push, Now);
        }

        _early = null;
        LearnOrder([]);
        _tasks.Run(() => VerifyAsync(_stopping));
        CarryOut();
        _opened.TrySetResult(null);
        return id;
    }

    private void DemandsChanged()
    {
        if (_machine is null)
        {
            return;
        }

        var content = Content;
        var longest = content.KeepsInMemory ? LongestInMemory : int.MaxValue;
        _longestDemanded = longest;
        var demands = _readers.Demands(content.Layout.PieceCount, FirstUnverified, longest);
        _machine.DemandsChanged(demands, Now, isAhead: _readers.IsEmpty && !_wantsWhole);
        CarryOut();
    }

    private void CarryOut()
    {
        foreach (var action in _machine?.TakeActions() ?? [])
        {
            switch (action)
            {
                case DownloadAction.FetchFromPeer fetch:
                    StartRequest(fetch.Id, token => FetchFromPeerAsync(fetch, token));
                    break;
                case DownloadAction.FetchFromOrigin read:
                    if (!read.IsGranted)
                    {
                        DownloadLog.LastResort(_services.Logger, Digest, read.First, read.Count);
                    }

                    MarkIncoming(read.First, read.Count, isIncoming: true);
                    StartRequest(read.Id, token => ReadFromOriginAsync(read, token));
                    break;
                case DownloadAction.Cancel cancel:
                    if (_requests.TryGetValue(cancel.Id, out var request))
                    {
                        request.Cancel();
                    }

                    break;
                case DownloadAction.GiveBack giveBack:
                    // What has arrived first, or its owner takes that for not read.
                    FlushReport();
                    _link?.Report(new GrantReport { GivenBack = { giveBack.Segments }, OriginFailed = giveBack.OriginFailed, OriginPauseMs = (uint)giveBack.OriginPause.TotalMilliseconds });
                    break;
                case DownloadAction.ReportFailed failed:
                    // With what has arrived of it: the owner counts that first.
                    FlushReport(failed.Failed);
                    break;
                case DownloadAction.AskAgain:
                    _link?.AskAgain(NewWant());
                    break;
                case DownloadAction.Fail:
                    _outage.Explain(_outage.Failure ?? new SourceFailure(HttpStatusCode.BadGateway, "no source has the content"));
                    GiveUp();
                    break;
            }
        }
    }

    private void StartRequest(int id, Func<CancellationToken, Task> run)
    {
        if (_isClosed)
        {
            return;
        }

        var cancel = CancellationTokenSource.CreateLinkedTokenSource(_stopping);
        _requests.Add(id, cancel);
        _tasks.Run(() => RunRequestAsync(id, cancel, run));
    }

    private async Task RunRequestAsync(int id, CancellationTokenSource cancel, Func<CancellationToken, Task> run)
    {
        try
        {
            await run(cancel.Token);
        }
        finally
        {
            lock (_lock)
            {
                _requests.Remove(id);
                // Whatever became of it: a request whose end is never told keeps its pieces from being asked for again.
                _machine!.RequestAbandoned(id, Now);
                CarryOut();
            }

            cancel.Dispose();
        }
    }

    private async Task FetchFromPeerAsync(DownloadAction.FetchFromPeer fetch, CancellationToken cancellationToken)
    {
        var isAhead = UrgencyOf(fetch.First, fetch.Count) == Urgency.Ahead;
        var outcome = await _fetches.FetchAsync(fetch, Content, isAhead, new Sink(this, fetch.Id, fetch.Node), cancellationToken);
        lock (_lock)
        {
            _machine!.PeerRequestEnded(fetch.Id, outcome.Kind, outcome.Holders, outcome.Pieces, Now);
            CarryOut();
        }
    }

    /// <summary>Who goes before whom where bandwidth is limited. Of what nobody pulls, all that nobody waits for may be needed later.</summary>
    private Urgency UrgencyOf(int first, int count)
    {
        lock (_lock)
        {
            return _urgent.IsAnyAwaited(first, count, Content) ? Urgency.Streaming
                : _wantsWhole || !_readers.IsEmpty ? Urgency.Pull
                : Urgency.Ahead;
        }
    }

    private void FetchUrgently(int first, int end, int tries, ActivityContext reader)
    {
        while (_machine is not null && !_isClosed && tries > 0 && _urgent.NextMissing(first, end, Content) is var (start, next))
        {
            if (_machine.AskUrgently(start / Content.Layout.FramesPerPiece, Now) is var (id, node))
            {
                _urgent.Began(start, next);
                StartRequest(id, token => FetchFramesAsync(id, node, start, next, tries - 1, reader, token));
            }

            first = next;
        }
    }

    private async Task FetchFramesAsync(int id, string node, int first, int end, int tries, ActivityContext reader, CancellationToken cancellationToken)
    {
        var layout = Content.Layout;
        var range = ByteRange.FromBounds(layout.Frame(first).Offset, layout.Frame(end - 1).End);
        var outcome = RangeOutcome.NotAMember;
        try
        {
            outcome = await _fetches.FetchUrgentlyAsync(node, layout, range, reader, new Sink(this, id, node), cancellationToken);
        }
        finally
        {
            lock (_lock)
            {
                _urgent.Ended(first, end);
                _machine!.PeerRequestEnded(id, outcome.Kind, outcome.Holders, outcome.Pieces, Now);
                if (outcome.Kind != RangeOutcomeKind.Complete)
                {
                    FetchUrgently(first, end, tries, reader);
                }

                CarryOut();
            }
        }
    }

    private void PeerWaits(int id)
    {
        lock (_lock)
        {
            _machine!.Waiting(id, Now);
            CarryOut();
        }
    }

    private async Task ReadFromOriginAsync(DownloadAction.FetchFromOrigin read, CancellationToken cancellationToken)
    {
        var content = Content;
        var layout = content.Layout;
        var end = layout.Piece(read.First + read.Count - 1).End;
        var start = content.FirstMissing(layout.Piece(read.First).Offset, end);
        if (start >= end)
        {
            EndRead(read, origin: null, failure: null);
            return;
        }

        var piece = layout.PieceAt(start);
        OriginReference? origin;
        int stop;
        lock (_lock)
        {
            (origin, stop) = _readers.WayFor(piece, read.First + read.Count, FirstUnverified);
        }

        if (origin is null)
        {
            Bar(read, piece);
            return;
        }

        await _reads.ReadAsync(read, origin, UrgencyOf(read.First, read.Count), content, ByteRange.FromBounds(start, layout.Piece(stop - 1).End), cancellationToken);
    }

    SourceFailure? IOriginReadUser.OtherSize(long size)
    {
        lock (_lock)
        {
            Disagree($"the origin's content has {size} bytes instead of {Content.Size}", size);
            return _outage.Failure;
        }
    }

    bool IOriginReadUser.TryExpect(int frame, ulong checksum) => _frames.TryExpectFromOrigin(frame, checksum);

    void IOriginReadUser.Stored(int frame, TimeSpan answered)
    {
        OriginWorks(answered);
        FrameStored(frame, fromOrigin: true);
    }

    /// <summary>The origin sends what it was asked for since it failed; what it began to send before says nothing.</summary>
    private void OriginWorks(TimeSpan answered)
    {
        if (_outage.Failure is not null)
        {
            lock (_lock)
            {
                if (answered > _outage.Since)
                {
                    OriginMayWorkAgain(TimeSpan.Zero);
                }
            }
        }
    }

    void IOriginReadUser.Ended(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure) => EndRead(read, origin, failure);

    private void EndRead(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure)
    {
        lock (_lock)
        {
            MarkIncoming(read.First, read.Count, isIncoming: false);
            if (failure is null)
            {
                if (origin is not null)
                {
                    _origins.Worked(origin);
                }
            }
            else if (_origins.Failed(origin!, failure))
            {
                failure = null;
            }

            if (failure is not null)
            {
                _outage.Began(failure, Now);
            }

            _machine!.OriginRequestEnded(read.Id, failure is null, TimeSpan.FromMilliseconds(OriginOutage.Milliseconds(failure?.RetryAfter)), Now);
            Unbar();
            CarryOut();
        }
    }

    private int FirstUnverified => _frames.Hash.Frames / Content.Layout.FramesPerPiece;

    /// <summary>
    /// No client that wants this piece can read it at the origin, and others' credentials are not for them: they wait for what
    /// comes for others.
    /// </summary>
    private void Bar(DownloadAction.FetchFromOrigin read, int piece)
    {
        lock (_lock)
        {
            MarkIncoming(read.First, read.Count, isIncoming: false);
            _readers.Bar(piece, FirstUnverified);
            DemandsChanged();
            _machine!.OriginRequestUnmade(read.Id, Now);
            CarryOut();
        }
    }

    /// <summary>Something has become of the ways to the origin.</summary>
    private void Unbar()
    {
        if (_readers.Unbar())
        {
            DemandsChanged();
        }
    }

    private void MarkIncoming(int first, int count, bool isIncoming)
    {
        for (var piece = first; piece < first + count; piece++)
        {
            if (isIncoming)
            {
                _fromOrigin!.Add(piece);
            }
            else
            {
                _fromOrigin!.Remove(piece);
            }
        }
    }

    private void FrameStored(int frame, bool fromOrigin)
    {
        Interlocked.Increment(ref _stored);
        var piece = frame / Content.Layout.FramesPerPiece;
        if (!Content.HasPiece(piece))
        {
            lock (_lock)
            {
                _machine!.BytesArrived(piece, Now);
                if (fromOrigin && !_isOwnerWrong && _reports!.Reading(piece, Now) is { } report)
                {
                    _link?.Report(report);
                }
            }

            return;
        }

        lock (_lock)
        {
            _machine!.PieceArrived(piece, Now);
            if (!Content.HasPiece(piece))
            {
                // Who waits for it found nothing to be lost yet.
                _machine.PieceLost(piece, Content.KeepsInMemory, Now);
            }

            _reports!.Arrived(piece, fromOrigin);

            // The owner waits for segments from peers, and for every sign of life from the origin.
            if ((fromOrigin || _machine.HasSegmentOf(piece)) && _reports.TrySchedule())
            {
                _tasks.Run(() => ReportLaterAsync(_stopping));
            }

            CarryOut();
        }
    }

    private async Task ReportLaterAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(_services.Policy.ReportInterval, _services.Time, cancellationToken);
        lock (_lock)
        {
            FlushReport();
        }
    }

    private void FlushReport(FailedFetch? failed = null)
    {
        // An owner that is wrong would count these for pieces of a content of another size, and send others here for them.
        if (_reports?.Take(failed, isHeard: !_isOwnerWrong) is { } report)
        {
            _link?.Report(report);
        }
    }

    /// <summary>
    /// Another node has found wrong bytes of the content: what is here is forgotten and fetched again, once. False when nothing is
    /// here yet.
    /// </summary>
    public bool TryStartAfresh()
    {
        lock (_lock)
        {
            if (_machine is null || _isClosed || Content.IsVerified)
            {
                return _machine is not null && Content.IsVerified;
            }

            if (_hasStartedAfresh && (_wantsWhole || _readers.NeedWhole))
            {
                // What comes from now on is compared with the digest here. Who says so again and again would keep it from ever being whole.
                return true;
            }

            _hasStartedAfresh = true;
            DownloadLog.Discarded(_services.Logger, Digest);
            _isAfresh = true;
            Drop();
            _machine.StartOver(Now, isTrusting: true);
            DemandsChanged();
            return true;
        }
    }

    private void Drop()
    {
        _frames.DropAll();
        _reports!.Clear();
    }

    /// <summary>Hashes the content in order as it arrives; at the end it is known to be right, or starts over.</summary>
    private async Task VerifyAsync(CancellationToken cancellationToken)
    {
        var content = Content;
        var layout = content.Layout;
        while (!content.IsVerified)
        {
            using (var hash = Digest.CreateHash())
            {
                ulong[] hashed;
                try
                {
                    hashed = await _frames.Hash.RunAsync(content, hash, this, cancellationToken);
                }
                catch (FrameLostException e)
                {
                    // Only a content that was removed from the cache fails who waits for it.
                    lock (_lock)
                    {
                        _outage.Explain(_outage.Failure ?? new SourceFailure(HttpStatusCode.ServiceUnavailable, e.Message));
                    }

                    GiveUp();
                    return;
                }

                lock (_lock)
                {
                    if (_isAfresh)
                    {
                        // Of what was hashed some has been replaced meanwhile: hashing begins again, and needs all of it.
                        _isAfresh = false;
                        _frames.Hash.Rewind();
                        DemandsChanged();
                        continue;
                    }

                    if (Digest.Matches(hash))
                    {
                        content.MarkVerified();
                        _frames.PardonThoseWhoWereRight(hashed);
                        break;
                    }
                }
            }

            _services.Failures.Add(WrongBytes.Content);
            _frames.BlameOnlySender();
            DownloadLog.DigestMismatch(_services.Logger, Digest);
            lock (_lock)
            {
                Drop();
                _services.Mismatches.Add(Digest);
                if (++_mismatches > 1)
                {
                    _outage.Explain(new SourceFailure(HttpStatusCode.BadGateway, "what the origin sent does not match the digest"));
                    GiveUp();
                    return;
                }

                _machine!.StartOver(Now);
                // Hashing begins again, too, and needs all of it.
                DemandsChanged();
            }
        }

        _trace.End(isWhole: true, layout.Size);
        _finished.TrySetResult(true);
        Move();
    }

    async ValueTask IOrderedHashUser.HashedAsync(int frames, CancellationToken cancellationToken)
    {
        var content = Content;

        // Always: a reader that waits for it may have begun to wait while the disk took no writes.
        Move();
        if (content.KeepsInMemory && frames % content.Layout.FramesPerPiece == 0)
        {
            ReaderMoved();
            await WaitForReadersAsync(frames / content.Layout.FramesPerPiece, cancellationToken);
        }
    }

    /// <summary>In memory what was read gives way first: hashing must not read far ahead of who reads in order.</summary>
    private async Task WaitForReadersAsync(int piece, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(ReaderPatience, _services.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        while (!either.IsCancellationRequested)
        {
            var moved = Moved;
            lock (_lock)
            {
                if (!_readers.IsAnyBehind(piece - Math.Max(1, LongestInMemory / 2)))
                {
                    return;
                }
            }

            await moved.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        cancellationToken.ThrowIfCancellationRequested();
    }

    private int LongestInMemory => Math.Max(2, (int)(_services.Memory.Bytes / Content.Layout.PieceSize));

    private async Task TickAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(TickInterval, _services.Time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            lock (_lock)
            {
                ProbeWhenSizeIsOverdue();
                if (!_readers.WantNothing && _machine is not null)
                {
                    _readers.RefuseBarred(Content, FirstUnverified, piece => _machine.IsFetching(piece) || _machine.IsDemanded(piece));
                    var (moved, refused) = _machine.Hedges;
                    NoteLosses();
                    _machine.Tick(Now);
                    _services.Metrics.Hedged(_machine.Hedges.Moved - moved, _machine.Hedges.Refused - refused);
                    CarryOut();
                }
            }
        }
    }

    private OriginReference CurrentOrigin()
    {
        lock (_lock)
        {
            return _origins.Current;
        }
    }

    private sealed class Sink(Download download, int id, string node) : IRangeSink
    {
        private readonly int _drops = download.Drops;
        private bool _hasSent;

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            if (!_hasSent)
            {
                _hasSent = true;
                download._frames.SentBy(node, _drops);
            }

            var arrival = download._frames.Take(node, frame, data, checksum, _drops);
            if (arrival == FrameArrival.Stored)
            {
                download.FrameStored(frame, fromOrigin: false);
            }

            return arrival != FrameArrival.Refused;
        }

        public void Waiting() => download.PeerWaits(id);
    }
}
