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
/// Brings one content into the cache, shared by all who read it on this node: finds out its size, from its owner or at the origin, and
/// then has it fetched by a <see cref="DownloadDriver"/> and compared with its digest by a <see cref="ContentVerification"/>. Thread-safe.
/// </summary>
internal sealed class Download : IOwnerLinkUser, IOriginProbeUser, IDownloadDriverUser, IContentVerificationUser, IAsyncDisposable
{
    /// <summary>After so long an origin that failed is tried again for a client that comes again.</summary>
    private static readonly TimeSpan RetryOrigin = TimeSpan.FromSeconds(2);

    internal static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(20);

    /// <summary>The content without bytes needs no source, and no range of it can be asked for.</summary>
    private static readonly Digest Empty = Digest.OfSha256([]);

    /// <summary>For whom room is taken for sizes that no member told.</summary>
    private const string OriginTold = "";

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
    private readonly LearnedOrder _order = new();
    private readonly EarlyPushes _early = new();
    private readonly OriginProbe _probe;
    private readonly ClientOrigins _origins;
    private readonly OriginOutage _outage = new();
    private readonly DownloadReaders _readers;
    private readonly ArrivingFrames _frames;
    private readonly DownloadParts _parts;
    private readonly SizeShare _size;
    private OwnerLink? _link;
    private ContentLease? _lease;
    private DownloadDriver? _driver;
    private ContentVerification? _verification;
    private bool _isSizeSure;
    private bool _isOwnerWrong;
    private long? _refusedSize;
    private bool _isSizeDisputed;
    private bool _hadSession;
    private bool _isProbing;
    private bool _isOwnerLost;
    private bool _isImpatient;
    private TimeSpan _sizeDueAt;
    private bool _wantsWhole;
    private int _wholeClients;
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
        _probe = new OriginProbe(services, _trace, this);
        _origins = new ClientOrigins(origin);
        _readers = new DownloadReaders(_origins);
        _frames = new ArrivingFrames(services, digest, _lock);
        _parts = new DownloadParts(services, _lock, _tasks, _trace, _origins, _outage, _readers, _frames, _stopping);
        _size = new SizeShare(services.ToldSizes);
        _wantsWhole = isWhole;
        _wholeClients = isWhole ? 1 : 0;
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

    /// <summary>Where this download had a frame from; none when it did not bring it.</summary>
    public ByteSource SourceOf(int frame) => _frames.SourceOf(frame);

    /// <summary>Pieces that were asked for and are not here.</summary>
    public int PiecesInFlight
    {
        get
        {
            lock (_lock)
            {
                return _driver?.Machine.PiecesInFlight ?? 0;
            }
        }
    }

    /// <summary>Frames that have been stored so far.</summary>
    public int Stored => _driver?.Stored ?? 0;

    /// <summary>
    /// Frames from the beginning on that may be read in order. While contents stay in memory, readers and hashing go side by
    /// side: what one of them has read gives way to others, and the one who comes later would need it again.
    /// </summary>
    public int ReadableFrames => Content.KeepsInMemory && !_finished.Task.IsCompleted ? _frames.Hash.Frames : int.MaxValue;

    /// <summary>Waits until a frame may be read in order, or nothing more comes for this reader.</summary>
    public async ValueTask WaitReadableAsync(int frame, DownloadReader reader, CancellationToken cancellationToken)
    {
        for (var moved = _parts.Movement.NextAsync; ReadableFrames <= frame && !_gaveUp.Task.IsCompleted && !reader.RefusedAsync.IsCompleted; moved = _parts.Movement.NextAsync)
        {
            await Task.WhenAny(moved, _gaveUp.Task, reader.RefusedAsync).WaitAsync(cancellationToken);
        }
    }

    /// <summary>Starts; called once.</summary>
    public void Start()
    {
        lock (_lock)
        {
            _services.Memory.Enter();
            if (_services.IsQuarantined(Digest))
            {
                _outage.Explain(ContentVerification.Mismatch);
                _opened.TrySetResult(_outage.Failure);
                GiveUp();
                return;
            }

            if (_services.Cache.TryOpen(Digest, out var lease))
            {
                // Even when it is refused, until it is closed: files may go with the lease, which is not to be waited for under locks.
                _lease = lease;
                if (_size.TryHold(DownloadMemory.BytesOf(lease.Content.Layout), OriginTold))
                {
                    Begin(lease);
                }
                else
                {
                    Refuse(lease.Content.Size);
                    return;
                }
            }
            else if (Digest == Empty)
            {
                Begin(_services.Cache.Open(Digest, size: 0, mediaType: null));
            }
            else if (_outage.Failure is null && _services.Sizes.TryFind(Digest, out var size))
            {
                _isSizeSure = true;
                if (!_size.TryHold(DownloadMemory.BytesOf(new ContentLayout(size)), OriginTold))
                {
                    Refuse(size);
                    return;
                }

                try
                {
                    Begin(_services.Cache.Open(Digest, size, mediaType: null));
                }
                catch (InvalidDataException e)
                {
                    // Somebody has it open with the size that was wrong.
                    Disagree(e.Message);
                    return;
                }
            }

            _sizeDueAt = Now + _services.Policy.SizePatience + (_services.Policy.SizeSpread * new Random(StableSeed.Of(Digest, _services.SelfName)).NextDouble());
            _trace.Join();
            _link = _services.OpenLink(Digest, this);
            _tasks.Run(() => TickAsync(_stopping));
            if (_origins.Current is { Credential: { } credential } origin && credential.Equals(CallerCredential.None))
            {
                _tasks.Run(() => AskForChallengeAsync(origin, _stopping));
            }
        }
    }

    private async Task AskForChallengeAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        if (await _probe.AskForChallengeAsync(origin, cancellationToken) is { } failure)
        {
            lock (_lock)
            {
                if (_driver is null && !_origins.Failed(origin, failure))
                {
                    _outage.Began(failure, Now);
                    _opened.TrySetResult(failure);
                }
            }
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
            _wholeClients += isWhole ? 1 : 0;
            if (isWhole && !_wantsWhole)
            {
                _wantsWhole = true;
                if (_driver is null)
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
    public void RemoveClient(OriginReference origin, bool isWhole = false)
    {
        lock (_lock)
        {
            _wholeClients -= isWhole ? 1 : 0;
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
            _driver?.Machine.OriginChanged(Now);
            _driver?.CarryOut();
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
            _driver?.DemandsChanged();
            return reader;
        }
    }

    /// <summary>What is to be fetched besides what readers need, the most wanted first; replaces what was said before.</summary>
    public void SetBackground(IReadOnlyList<BackgroundDemand> demands)
    {
        lock (_lock)
        {
            _readers.SetBackground(demands);
            _driver?.DemandsChanged();
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
            _driver?.FetchUrgently(first, end, Traces.Current);
        }
    }

    /// <summary>Some peer is known to have the piece, and can be asked for parts of it.</summary>
    public bool IsHeldByPeer(int piece)
    {
        lock (_lock)
        {
            return _driver?.Machine.IsHeld(piece) ?? false;
        }
    }

    /// <summary>The frame is asked for by <see cref="FetchUrgently(int, int)"/>.</summary>
    public bool IsFetchingUrgently(int frame)
    {
        lock (_lock)
        {
            return _driver?.IsFetchingUrgently(frame) ?? false;
        }
    }

    /// <summary>
    /// Nobody but the origin could have the frame, and the origin did not give it, or not to a client that would read it there. Or it is to
    /// be left alone for a while: it may have said so to another client, and for another reason than what this one brings.
    /// </summary>
    public bool IsOutOfReach(int frame, OriginReference origin)
    {
        lock (_lock)
        {
            var piece = frame / Content.Layout.FramesPerPiece;
            return !(_driver?.IsFetchingUrgently(frame) ?? false) && !(_driver?.Machine.IsComing(piece) ?? false)
                && (_outage.Failure is not null
                    || (_driver?.Machine.IsPaused(piece, Now) ?? false)
                    || (!_origins.MayServe(origin) && !(_driver?.Machine.IsFetching(piece) ?? false)));
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
            return (_driver?.IsReading(piece) ?? false) ? PieceArrival.Coming
                : _driver?.Machine.ArrivalOf(piece, reader) is { } arrival and not PieceArrival.Expected ? arrival
                : IsOver ? PieceArrival.None
                : PieceArrival.Expected;
        }
    }

    /// <summary>Adds the pieces that are on their way.</summary>
    public void AddIncoming(PieceSet pieces)
    {
        lock (_lock)
        {
            _driver?.Machine.AddIncoming(pieces);
        }
    }

    public IReadOnlyList<string> HoldersOf(int piece)
    {
        lock (_lock)
        {
            return _driver?.Machine.HoldersOf(piece) ?? [];
        }
    }

    /// <summary>Waits for a frame, which may be gone again when the wait is over.</summary>
    public ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken) => _driver!.WaitForFrameAsync(frame, cancellationToken);

    /// <summary>A reader needs a frame that is not here: yet, or any more.</summary>
    public void FrameLost(int frame)
    {
        lock (_lock)
        {
            _driver?.FrameLost(frame);
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
            _driver?.ReportLast();
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
        lock (_lock)
        {
            _size.End();
        }

        _stop.Dispose();
    }

    Activity? IOwnerLinkUser.BeginAsking() => _trace.Aside("lookup", ActivityKind.Client)?.SetTag(Traces.Digest, Digest.ToString());

    Want IOwnerLinkUser.CreateWant()
    {
        lock (_lock)
        {
            _driver?.Machine.SessionStarted();
            _isOwnerWrong = false;
            var want = NewWant();
            want.Have.AddRange((_lease?.Content.SnapshotPieces().ToPieceRuns() ?? []).Take(ProtocolConstants.MaxHeldRuns));
            want.Reading.AddRange(_driver?.Machine.Reading() ?? (_isProbing ? [SizeProbes.Run] : []));
            want.Fetching.AddRange(_driver?.Machine.Fetching() ?? []);
            want.OriginPauseMs = _driver?.Machine.OriginPauseMs(Now) ?? OriginOutage.Milliseconds(_outage.PauseLeft(Now));
            want.Continued = _hadSession;
            _hadSession = true;
            _order.Forget();
            return want;
        }
    }

    bool IOwnerLinkUser.Pushed(LookupResponse push)
    {
        CachedContent described;
        lock (_lock)
        {
            if (_isClosed)
            {
                return false;
            }

            _isOwnerLost = false;
            _order.Add(push.StartupOrder);
            if (_lease is { Content: var content })
            {
                _order.TellTo(content);
            }

            if (push.Revoked.Count > 0)
            {
                DownloadLog.Revoked(_services.Logger, Digest, push.Revoked.Sum(run => (int)run.Count));
            }

            if (_driver is null)
            {
                PushedEarly(push);
                return _early.Keeps(push);
            }

            if (_isSizeSure && push.Size > 0 && push.Size != Content.Size)
            {
                // What it says is of another size than the origin's, and means other bytes. It is not heard any more.
                _isOwnerWrong = true;
            }

            if (_isOwnerWrong)
            {
                _driver.Machine.OwnerLost(Now);
                _driver.CarryOut();
                return false;
            }

            described = Content;
            _driver.NoteLosses();
            _frames.Told(push.Checksums, _link?.Partner ?? string.Empty);
            _driver.Machine.Pushed(push, Now);
            _driver.CarryOut();
        }

        // May write to the disk.
        described.MediaType = push.MediaType;
        return false;
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
            if (_driver is not null)
            {
                _driver.Machine.OwnerLost(Now);
                _driver.CarryOut();
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
            _driver?.DemandsChanged();
        }

        _parts.Movement.Move();
    }

    internal void ReaderGone(DownloadReader reader)
    {
        lock (_lock)
        {
            _readers.Remove(reader);
            _driver?.DemandsChanged();
        }

        _parts.Movement.Move();
    }

    private TimeSpan Now => _parts.Now;

    private Want NewWant() => new()
    {
        Member = new Contracts.V1.Member { Node = _services.SelfName, Incarnation = _services.Incarnation },
        Digest = Digest.ToString(),
        Size = _lease?.Content.Size ?? 0,
        CanReachOrigin = _outage.Failure is null or { RetryAfter: not null },
        Wanted = { (_driver?.Machine.TakeWanted() ?? (_wantsWhole ? [] : [new PieceRun()])).Take(Asker.MostRuns) },
    };

    private void GiveUp()
    {
        _ = _early.TakeAll();
        _trace.End(isWhole: false, _lease?.Content.Size ?? 0);
        _finished.TrySetResult(false);
        _gaveUp.TrySetResult();
    }

    /// <summary>There is no room for what is kept of a content of such a size: the client reads it without this node.</summary>
    private void Refuse(long size)
    {
        DownloadLog.SizeRefused(_services.Logger, Digest, size);
        _outage.Explain(new SourceFailure(HttpStatusCode.ServiceUnavailable, $"there is no room for what is kept of a content of {size} bytes"));
        _opened.TrySetResult(_outage.Failure);
        GiveUp();
    }

    /// <summary>Pushes before the size is known.</summary>
    private void PushedEarly(LookupResponse push)
    {
        if (_gaveUp.Task.IsCompleted || _refusedSize is not null || push.Size is < 0 or > HolderDirectory.MaxSize)
        {
            return;
        }

        if (push.Size > 0 && !_size.TryHold(DownloadMemory.BytesOf(new ContentLayout(push.Size)), _link?.Partner))
        {
            // Nobody needs to believe it: the origin knows. The owner is heard again in another session, for what it says now is lost.
            DownloadLog.SizeRefused(_services.Logger, Digest, push.Size);
            _refusedSize = push.Size;
            _ = _early.TakeAll();
            if (_outage.Failure is { } failure)
            {
                _opened.TrySetResult(failure);
            }
            else
            {
                Probe();
            }

            return;
        }

        _early.Add(push);
        if (push.Size > 0)
        {
            try
            {
                Begin(_services.Cache.Open(Digest, push.Size, push.MediaType));
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
        // An impossible one would help nobody who asks again.
        _isSizeDisputed = originSize is <= HolderDirectory.MaxSize;
        if (_isSizeDisputed)
        {
            _services.Sizes.Set(Digest, _ => originSize!.Value);
        }

        DownloadLog.SizesDiffer(_services.Logger, Digest, message);

        // Before anybody hears of it: who asks again must not begin with what is about to be forgotten.
        if (!_services.Cache.TryPeek(Digest, out var content) || !content.IsVerified)
        {
            _services.Cache.Remove(Digest);
        }

        _outage.Explain(new SourceFailure(HttpStatusCode.BadGateway, message));
        _opened.TrySetResult(_outage.Failure);
        GiveUp();
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
        if (_driver is null && !_opened.Task.IsCompleted && Now >= _sizeDueAt)
        {
            _isImpatient = true;
            Probe();
        }
    }

    private async Task ProbeAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _probe.AskForSizeAsync(CurrentOrigin(), cancellationToken);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            _opened.TrySetResult(new SourceFailure(HttpStatusCode.BadGateway, e.Message));
            throw;
        }
    }

    bool IOriginProbeUser.IsServed
    {
        get
        {
            lock (_lock)
            {
                return _driver is not null || _isProbing || IsOver;
            }
        }
    }

    // Before there is a driver, somebody waits for a manifest that did not tell its size.
    Urgency IOriginProbeUser.UrgencyOf(int pieces)
    {
        lock (_lock)
        {
            return _driver?.UrgencyOf(0, pieces) ?? Urgency.Pull;
        }
    }

    void IOriginProbeUser.ProbeFailed(OriginReference origin, SourceFailure failure)
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
            if (_driver is not null)
            {
                // Its size has become known in the meantime.
                if (_outage.PauseLeft(Now) is { } pause)
                {
                    _driver.Machine.OriginRefused(pause, Now);
                    _driver.CarryOut();
                }

                return;
            }

            if (_isOwnerLost || _isImpatient || _refusedSize is not null || failure.Challenge is not null)
            {
                // Others may have better luck, but this client can do something about it.
                _opened.TrySetResult(_outage.Failure);
            }

            _early.ForgetGrants();
            _link?.Report(new GrantReport { GivenBack = { new SegmentRun { First = 0, Count = 1 } }, OriginFailed = true, OriginPauseMs = OriginOutage.Milliseconds(failure.RetryAfter) });
        }
    }

    (OriginReads Reads, DownloadAction.FetchFromOrigin Read)? IOriginProbeUser.Probed(long size, string? mediaType, int pieces)
    {
        lock (_lock)
        {
            _isProbing = false;
            if (_driver is not null)
            {
                // Its size has become known in the meantime, and others read its beginning.
                return null;
            }

            // More than any content has: nothing can be laid out for it.
            if (size > HolderDirectory.MaxSize || !_size.TryHold(DownloadMemory.BytesOf(new ContentLayout(size)), OriginTold))
            {
                Refuse(size);
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

            _isSizeSure |= _refusedSize is { } refused && refused != size;
            _isOwnerWrong |= _refusedSize is not null;
            _link?.Report(new GrantReport { Size = size, MediaType = Content.MediaType ?? string.Empty });
            return (_driver!.Reads, new DownloadAction.FetchFromOrigin(id, 0, pieces, IsGranted: true));
        }
    }

    /// <summary>The size is known. Returns the id of the request that is bringing the first pieces already.</summary>
    private int Begin(ContentLease lease, int arrivingPieces = 0)
    {
        _lease = lease;
        var content = lease.Content;
        _frames.Begin(content);
        _driver = new DownloadDriver(_parts, content, this);
        _verification = new ContentVerification(_parts, content, _driver, this);
        if (_wholeClients == 0 && _services.Contradicted.TryFind(Digest, out _))
        {
            _frames.BeAlone();
            _driver.Machine.LeavePeers();
        }

        var id = arrivingPieces > 0 ? _driver.Began(arrivingPieces) : 0;
        foreach (var push in _early.TakeAll())
        {
            _frames.Told(push.Checksums, _link?.Partner ?? string.Empty);
            _driver.Machine.Pushed(push, Now);
            OwnerLink.Forget(push);
        }

        _order.TellTo(content);
        _tasks.Run(() => _verification.RunAsync(_stopping));
        _driver.CarryOut();
        _opened.TrySetResult(null);
        return id;
    }

    bool IDownloadDriverUser.IsClosed => _isClosed;

    bool IDownloadDriverUser.HasGivenUp => _gaveUp.Task.IsCompleted;

    bool IDownloadDriverUser.WantsWhole => _wantsWhole;

    bool IDownloadDriverUser.IsOwnerRight => !_isOwnerWrong;

    void IDownloadDriverUser.Report(GrantReport report) => _link?.Report(report);

    void IDownloadDriverUser.AskAgain() => _link?.AskAgain(NewWant());

    void IDownloadDriverUser.NoSource()
    {
        _outage.Explain(_outage.Failure ?? new SourceFailure(HttpStatusCode.BadGateway, "no source has the content"));
        GiveUp();
    }

    void IDownloadDriverUser.OriginSends() => OriginMayWorkAgain(TimeSpan.Zero);

    void IDownloadDriverUser.OtherSize(long size) => Disagree($"the origin's content has {size} bytes instead of {Content.Size}", size);

    void IDownloadDriverUser.OriginContradicts() => _verification?.OriginContradicts(_wholeClients > 0);

    /// <summary>Something has become of the ways to the origin.</summary>
    private void Unbar()
    {
        if (_readers.Unbar())
        {
            _driver?.DemandsChanged();
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
            if (_verification is null || _isClosed)
            {
                return _verification is not null && Content.IsVerified;
            }

            _verification.StartAfresh(_wholeClients > 0);
            return true;
        }
    }

    void IContentVerificationUser.Verified()
    {
        _trace.End(isWhole: true, Content.Size);
        _finished.TrySetResult(true);
    }

    void IContentVerificationUser.GiveUp() => GiveUp();

    private async Task TickAsync(CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(TickInterval, _services.Time);
        while (await timer.WaitForNextTickAsync(cancellationToken))
        {
            lock (_lock)
            {
                ProbeWhenSizeIsOverdue();
                if (!_readers.WantNothing)
                {
                    _driver?.Tick();
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
}
