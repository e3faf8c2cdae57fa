using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Node.Content;

/// <summary>How the bytes of a read came here.</summary>
internal enum BlobSource
{
    /// <summary>They were here.</summary>
    Local,

    /// <summary>By the download that all readers of the content share: from peers, or from the origin on behalf of all.</summary>
    Mesh,

    /// <summary>They did not come in time: the client's own URL has to be read.</summary>
    None,
}

/// <summary>
/// One content that containers read bit by bit. The bytes of a read come before all else; what is read next is fetched
/// ahead, as far as it can be guessed. Thread-safe but for what <see cref="BlobStreams"/> keeps here.
/// </summary>
internal sealed class BlobStream(Digest digest, ContentLease lease, DownloadUse? use, Downloads downloads, long readAhead, bool followsOrder, TimeProvider time) : IDisposable
{
    /// <summary>Pieces whose segments are filled because a read fell into them and no peer was known to have them.</summary>
    private const int MostFills = 256;

    /// <summary>Pieces that are fetched for reads when nothing can be kept on disk.</summary>
    private const int MostFillsInMemory = 16;

    /// <summary>How long a read waits for its bytes, when it went well the last time.</summary>
    private static readonly TimeSpan LongestPatience = TimeSpan.FromSeconds(5);

    /// <summary>How long when it did not, several times in a row.</summary>
    private static readonly TimeSpan LeastPatience = TimeSpan.FromMilliseconds(250);

    /// <summary>A stream that misses nothing for this long does without a download.</summary>
    private static readonly TimeSpan RestAfter = TimeSpan.FromSeconds(10);

    /// <summary>How often a read that waits looks whether waiting still makes sense.</summary>
    private static readonly TimeSpan Look = TimeSpan.FromMilliseconds(50);

    private readonly Lock _lock = new();
    private readonly ReadAheadPlan _plan = new(lease.Content.Size, readAhead);
    private readonly List<Filling> _fills = [];

    // Read without the lock, by reads that are served at once: whether their pieces were touched before.
    private readonly bool[] _touched = new bool[lease.Content.Layout.PieceCount];
    private StartupOrder? _order;
    private readonly StreamClients _clients = new();
    private List<BackgroundDemand> _told = [];
    private DownloadUse? _use = use;

    // Where the client would read that was the last to need a piece of the known order, which is followed for it.
    private OriginReference _follower = use?.Origin ?? OriginReference.None;
    private TimeSpan _patience = LongestPatience;
    private int _published;
    private int _planned;
    private long _lastMissed;
    private bool _isDisposed;

    public Digest Digest => digest;

    public long Size => lease.Content.Size;

    /// <inheritdoc cref="CachedContent.MediaType"/>
    public string? MediaType => lease.Content.MediaType;

    /// <summary>The whole content is here and right, its size included.</summary>
    public bool IsVerified => lease.Content.IsVerified;

    /// <inheritdoc cref="CachedContent.Resets"/>
    public int Resets => Content.Resets;

    /// <summary>Reads under way.</summary>
    public int Users { get; set; }

    /// <summary>When the last of them ended, as a timestamp.</summary>
    public long LastUsed { get; set; } = time.GetTimestamp();

    /// <summary>The content was forgotten meanwhile: the next read must open it anew.</summary>
    public bool IsStale { get; private set; }

    /// <summary>Clients that the download knows of besides the one that joined it first.</summary>
    public int Clients => _clients.Count;

    private CachedContent Content => lease.Content;

    private ContentLayout Layout => lease.Content.Layout;

    /// <summary>Waits until bytes are here, not too long, and sees to it that they and the next ones come.</summary>
    /// <param name="bytes">What the client reads; not empty.</param>
    /// <param name="origin">Where the client would read it.</param>
    /// <param name="limit">How long to wait at most: the rest of the time is for the client's own URL.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async ValueTask<BlobSource> EnsureAsync(ByteRange bytes, OriginReference origin, TimeSpan limit, CancellationToken cancellationToken)
    {
        var (first, end) = (Layout.FrameAt(bytes.Offset), Layout.FrameAt(bytes.End - 1) + 1);
        if (IsHere(first, end) && AreRight(first, end))
        {
            if (!Content.IsVerified || !IsTouched(bytes))
            {
                Touched(bytes, origin, isMissing: false);
            }

            return !Content.NeedsPreparation || await PrepareAsync(bytes, cancellationToken) ? BlobSource.Local : BlobSource.None;
        }

        if (limit <= TimeSpan.Zero)
        {
            return BlobSource.None;
        }

        using var patience = new CancellationTokenSource(limit < _patience ? limit : _patience, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        var before = -1;
        Volatile.Write(ref _lastMissed, time.GetTimestamp());
        try
        {
            if (await JoinAsync(origin, stop.Token) is { } download)
            {
                before = download.Stored;
                TellLost(download, first, end);
                download.FetchUrgently(first, end);
                Fill(first, end, origin, piece => !download.IsHeldByPeer(piece));
                Touched(bytes, origin, isMissing: true);
                if (await WaitAsync(download, first, end, origin, stop.Token))
                {
                    _patience = LongestPatience;
                    return BlobSource.Mesh;
                }
            }
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            // A mesh that delivers nothing must not cost every read the whole time; one that is only busy is not helped by
            // all nodes reading past it.
            if (before < 0 || _use?.Download.Stored == before)
            {
                LosePatience();
            }
        }

        return BlobSource.None;
    }

    private void LosePatience() => _patience = _patience / 2 > LeastPatience ? _patience / 2 : LeastPatience;

    /// <summary>Asks another program for bytes that it has; false when it does not give them in time: the client's own URL may.</summary>
    private async ValueTask<bool> PrepareAsync(ByteRange bytes, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(_patience, time);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        try
        {
            await Content.PrepareAsync(bytes.Offset, bytes.Length, stop.Token);
            _patience = LongestPatience;
            return true;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            LosePatience();
            return false;
        }
    }

    /// <summary>Copies bytes that are here.</summary>
    /// <exception cref="FrameLostException">They are not, any more.</exception>
    public void Read(long offset, Span<byte> buffer)
    {
        try
        {
            Content.Read(offset, buffer);
        }
        catch (FrameLostException lost)
        {
            _use?.Download.FrameLost(lost.Frame);
            throw;
        }
    }

    /// <summary>Counts bytes that were copied for a client.</summary>
    /// <param name="bytes">Which bytes.</param>
    /// <param name="source">What <see cref="EnsureAsync"/> said of them.</param>
    /// <param name="served">Where they are counted.</param>
    /// <returns>The furthest of their sources.</returns>
    public ByteSource Served(ByteRange bytes, BlobSource source, ServedBytes served) =>
        served.Add(Content, bytes, source == BlobSource.Mesh ? Volatile.Read(ref _use)?.Download : null);

    /// <summary>Tells the mesh in which order the content is needed, and follows what it told, if there is something new.</summary>
    public void ExchangeOrder()
    {
        lock (_lock)
        {
            if (_order is not null && !_isDisposed && LearnOrder())
            {
                Tell();
            }

            if (_order is { IsWorthTelling: true, Seen: var seen } && seen.Count > _published)
            {
                _published = seen.Count;
                Content.Ordered([.. Content.OwnStartupOrder.Union(seen).Take(ProtocolConstants.MaxStartupOrder)], isSeenHere: true);
            }
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _isDisposed = true;
        }

        ExchangeOrder();
        Leave();
        lease.Dispose();
    }

    /// <summary>
    /// Lets the download go when it has nothing to do for this content any more: it keeps a session with the owner. What is
    /// missed later joins another one.
    /// </summary>
    public void Rest()
    {
        lock (_lock)
        {
            // What is being fetched ahead is not missed, and needed all the same.
            var isIdle = _told.TrueForAll(told => (_use?.Download.IsBarred(told.Origin) ?? false) || IsHere(told.Demand.Position * Layout.FramesPerPiece, Math.Min(Layout.FrameCount, told.Demand.End * Layout.FramesPerPiece)))
                && time.GetElapsedTime(Volatile.Read(ref _lastMissed)) > RestAfter;
            if (_use is { } use && (use.Download.IsOver || Content.IsVerified || isIdle) && Users == 0)
            {
                Leave();
            }
        }
    }

    /// <inheritdoc cref="CachedContent.DoubtIfWritten"/>
    public void DoubtIfWritten() => Content.DoubtIfWritten();

    private void Leave()
    {
        // A content that was forgotten has a stream of its own meanwhile, which has told what it needs.
        if (_use is { Download: { OpenedAsync: { IsCompletedSuccessfully: true, Result: null } } download } && ReferenceEquals(download.Content, Content))
        {
            download.SetBackground([]);
        }

        Leave(_use);
        _use = null;
        _told = [];
    }

    private void Leave(DownloadUse? use)
    {
        _clients.Leave(use?.Download);
        use?.Dispose();
    }

    /// <summary>What was here before and is gone must be fetched again.</summary>
    private void TellLost(Download download, int first, int end)
    {
        for (var frame = first; frame < end; frame++)
        {
            if (!Content.HasFrame(frame))
            {
                download.FrameLost(frame);
            }
        }
    }

    private bool IsHere(int first, int end)
    {
        for (var frame = first; frame < end; frame++)
        {
            if (!Content.HasFrame(frame))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Compares frames that were found on disk, all before a byte is sent: what is wrong is fetched again then.</summary>
    private bool AreRight(int first, int end)
    {
        try
        {
            for (var frame = first; frame < end; frame++)
            {
                Content.EnsureChecked(frame);
            }

            return true;
        }
        catch (FrameLostException lost)
        {
            _use?.Download.FrameLost(lost.Frame);
            return false;
        }
    }

    /// <summary>The download that brings what is missing; null when there is none for this content any more.</summary>
    private async ValueTask<Download?> JoinAsync(OriginReference origin, CancellationToken cancellationToken)
    {
        Download? download;
        lock (_lock)
        {
            if (_isDisposed)
            {
                return null;
            }

            if (_use is null || !_clients.TryAdd(_use.Download, origin))
            {
                Leave(_use);
                _use = downloads.Join(digest, origin, isWhole: false);
                _told = [];
            }

            download = _use.Download;
        }

        if (await download.OpenedAsync.WaitAsync(cancellationToken) is not null)
        {
            return null;
        }

        if (!ReferenceEquals(download.Content, Content))
        {
            IsStale = true;
            return null;
        }

        return download;
    }

    /// <summary>Has the segments fetched whole that these pieces are in: the owner grants nothing smaller.</summary>
    private void Fill(int first, int end, OriginReference origin, Func<int, bool> condition)
    {
        lock (_lock)
        {
            for (var piece = first / Layout.FramesPerPiece; piece <= (end - 1) / Layout.FramesPerPiece; piece++)
            {
                if (!Content.HasPiece(piece) && !_fills.Exists(fill => fill.Piece == piece && fill.Origin.Equals(origin)) && condition(piece))
                {
                    _fills.Insert(0, new Filling(piece, origin));
                }
            }

            if (_fills.Count > MostFills)
            {
                _fills.RemoveRange(MostFills, _fills.Count - MostFills);
            }
        }
    }

    private void Touched(ByteRange bytes, OriginReference origin, bool isMissing)
    {
        lock (_lock)
        {
            if (_isDisposed)
            {
                return;
            }

            LearnOrder();
            var isNews = isMissing;
            for (var piece = Layout.PieceAt(bytes.Offset); piece <= Layout.PieceAt(bytes.End - 1); piece++)
            {
                if (_order!.Touch(piece))
                {
                    isNews = true;
                    _follower = _order.Knows(piece) ? origin : _follower;
                }

                Volatile.Write(ref _touched[piece], true);
            }

            var planned = _plan.Read(bytes, origin);
            isNews |= planned > 0 && _planned != Layout.PieceAt(Math.Min(planned, Size - 1));
            _planned = planned > 0 ? Layout.PieceAt(Math.Min(planned, Size - 1)) : _planned;
            if (isNews)
            {
                if (!isMissing)
                {
                    // Who missed something has joined.
                    _ = _use is { } use && _clients.TryAdd(use.Download, origin);
                }

                Tell();
            }
        }
    }

    private bool IsTouched(ByteRange bytes)
    {
        for (var piece = Layout.PieceAt(bytes.Offset); piece <= Layout.PieceAt(bytes.End - 1); piece++)
        {
            if (!Volatile.Read(ref _touched[piece]))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>True when there was more to learn.</summary>
    private bool LearnOrder()
    {
        var known = Content.StartupOrder;
        if (_order is not null && (known.Count <= _published || known.Count <= _order.Known))
        {
            return false;
        }

        var seen = _order?.Seen ?? [];
        _order = new StartupOrder(known);
        foreach (var piece in seen)
        {
            _order.Touch(piece);
        }

        return true;
    }

    /// <summary>Has the download fetch what is going to be needed.</summary>
    private void Tell()
    {
        if (_use is not { Download: { OpenedAsync: { IsCompletedSuccessfully: true, Result: null } } download } || Content.IsVerified || !ReferenceEquals(download.Content, Content))
        {
            return;
        }

        var demands = Demands(download);
        if (!demands.SequenceEqual(_told))
        {
            _told = demands;
            download.SetBackground(demands);
        }
    }

    private List<BackgroundDemand> Demands(Download download)
    {
        var demands = new List<BackgroundDemand>();
        if (Content.KeepsInMemory)
        {
            // Little fits there: what is fetched ahead would push out what is being read. What is lost again, its reader asks for.
            _fills.RemoveAll(fill => Content.HasPiece(fill.Piece));
            _fills.RemoveRange(Math.Min(_fills.Count, MostFillsInMemory), Math.Max(0, _fills.Count - MostFillsInMemory));
            _fills.ForEach(fill => Add(fill.Piece, fill.Piece + 1, fill.Origin));
            return demands;
        }

        _fills.RemoveAll(fill => IsWhole(fill.Piece / Layout.PiecesPerSegment));
        foreach (var (piece, origin) in _fills)
        {
            Add(piece, piece + 1, origin);
        }

        foreach (var (piece, origin) in _fills)
        {
            var first = piece / Layout.PiecesPerSegment * Layout.PiecesPerSegment;
            Add(first, Math.Min(Layout.PieceCount, first + Layout.PiecesPerSegment), origin);
        }

        var ahead = new AheadBudget(readAhead, Layout, Content.HasPiece);
        foreach (var (bytes, origin) in _plan.Ahead)
        {
            AddAhead(Layout.PieceAt(bytes.Offset), Layout.PieceAt(bytes.End - 1) + 1, origin);
        }

        if (followsOrder)
        {
            ahead.Renew();
            foreach (var piece in _order!.Ahead((int)(readAhead / Layout.PieceSize)))
            {
                AddAhead(piece, piece + 1, _follower);
            }
        }

        return demands;

        void AddAhead(int first, int end, OriginReference origin)
        {
            var (from, to) = ahead.Take(first, end, download.IsHeldByPeer);
            Add(from, to, origin);
        }

        void Add(int first, int end, OriginReference origin)
        {
            while (first < end && Content.HasPiece(first))
            {
                first++;
            }

            if (first < end)
            {
                demands.Add(new BackgroundDemand(new Demand(first, end, int.MaxValue), origin));
            }
        }
    }

    private bool IsWhole(int segment)
    {
        var first = segment * Layout.PiecesPerSegment;
        for (var piece = first; piece < Math.Min(Layout.PieceCount, first + Layout.PiecesPerSegment); piece++)
        {
            if (!Content.HasPiece(piece))
            {
                return false;
            }
        }

        return true;
    }

    private async ValueTask<bool> WaitAsync(Download download, int first, int end, OriginReference origin, CancellationToken cancellationToken)
    {
        for (var frame = first; frame < end; frame++)
        {
            while (!Content.HasFrame(frame))
            {
                using var look = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
                var arrived = Content.WaitForFrameAsync(frame, look.Token).AsTask();
                await Task.WhenAny(arrived, Task.Delay(Look, time, cancellationToken));
                if (arrived.IsCompletedSuccessfully)
                {
                    continue;
                }

                await look.CancelAsync();
                await arrived.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                cancellationToken.ThrowIfCancellationRequested();
                download.FrameLost(frame);
                if (!download.IsFetchingUrgently(frame))
                {
                    // Whoever was asked for it did not have it after all.
                    Fill(frame, frame + 1, origin, _ => true);
                    lock (_lock)
                    {
                        Tell();
                    }
                }

                if (download.GaveUpAsync.IsCompleted || (!Content.HasFrame(frame) && download.IsOutOfReach(frame, origin)))
                {
                    lock (_lock)
                    {
                        _fills.RemoveAll(fill => fill.Piece >= first / Layout.FramesPerPiece && fill.Piece <= (end - 1) / Layout.FramesPerPiece && fill.Origin.Equals(origin));
                    }

                    return Content.HasFrame(frame);
                }
            }
        }

        return true;
    }

    /// <summary>A piece that a read fell into.</summary>
    /// <param name="Piece">Its number.</param>
    /// <param name="Origin">Where the client of the read would read it.</param>
    private readonly record struct Filling(int Piece, OriginReference Origin);
}
