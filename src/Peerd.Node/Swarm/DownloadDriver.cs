using System.Diagnostics;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Node.Origin;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>What driving a downloader needs of the download that it is for, and what that is told; all under the download's lock.</summary>
internal interface IDownloadDriverUser
{
    /// <summary>The download stops: nothing new begins.</summary>
    bool IsClosed { get; }

    /// <summary>Nothing more comes, not even of what was here and has been lost.</summary>
    bool HasGivenUp { get; }

    /// <summary>Some client wants all of it.</summary>
    bool WantsWhole { get; }

    /// <summary>False when the owner means another content.</summary>
    bool IsOwnerRight { get; }

    /// <summary>The owner is to be told this.</summary>
    void Report(GrantReport report);

    /// <summary>The owner is to be told what is wanted now.</summary>
    void AskAgain();

    /// <summary>No source has what is missing.</summary>
    void NoSource();

    /// <summary>The origin, which had failed, sends again.</summary>
    void OriginSends();

    /// <summary>The origin's content has another size.</summary>
    void OtherSize(long size);

    /// <summary>The origin sends other bytes than who read them first has told.</summary>
    void OriginContradicts();
}

/// <summary>
/// Drives the <see cref="Downloader"/> of one content from when its size is known: tells it what is wanted and what happens, and carries
/// out what it decides with fetches from peers, reads at the origin, and reports to the owner. Called under the download's lock, except
/// where it says otherwise, and by reads at the origin, which hold no lock.
/// </summary>
internal sealed class DownloadDriver : IOriginReadUser
{
    /// <summary>Peers that are asked for a frame that a reader waits for, one after the other.</summary>
    private const int UrgentTries = 3;

    private readonly DownloadParts _parts;
    private readonly CachedContent _content;
    private readonly IDownloadDriverUser _user;
    private readonly Dictionary<int, CancellationTokenSource> _running = [];
    private readonly UrgentFrames _urgent = new();
    private readonly PeerFetches _fetches;
    private readonly PieceSet _fromOrigin;
    private readonly ArrivalReports _reports;
    private int _stored;
    private int _losses;
    private int _longestDemanded;

    /// <param name="parts">What the parts of the download share.</param>
    /// <param name="content">Where it goes.</param>
    /// <param name="user">The download.</param>
    public DownloadDriver(DownloadParts parts, CachedContent content, IDownloadDriverUser user)
    {
        (_parts, _content, _user) = (parts, content, user);

        // Before the look at the pieces: what is lost after both is noticed.
        _losses = content.Losses;
        Machine = new Downloader(content.Layout, content.SnapshotPieces(), parts.Services.Policy, StableSeed.Of(content.Digest, parts.Services.SelfName), Now, user.WantsWhole);
        if (parts.Outage.PauseLeft(Now) is { } pause)
        {
            Machine.OriginPaused(pause, Now);
        }

        _fetches = new PeerFetches(parts.Services, content.Digest, parts.Trace);
        Reads = new OriginReads(parts.Services, content, parts.Trace, this);
        _fromOrigin = new PieceSet(content.Layout.PieceCount);
        _reports = new ArrivalReports(content);
    }

    /// <summary>Decides. After it was told something, <see cref="CarryOut"/> must follow.</summary>
    public Downloader Machine { get; }

    /// <summary>Reads at the origin; what it stores counts here.</summary>
    public OriginReads Reads { get; }

    /// <summary>Frames that have been stored so far. Called without the lock.</summary>
    public int Stored => Volatile.Read(ref _stored);

    /// <summary>The piece at which hashing is.</summary>
    public int FirstUnverified => _parts.Frames.Hash.Frames / _content.Layout.FramesPerPiece;

    /// <summary>Pieces that may be fetched ahead while the content stays in memory.</summary>
    public int LongestInMemory => Math.Max(2, (int)(_parts.Services.Memory.Bytes / _content.Layout.PieceSize));

    private bool IsOver => _user.IsClosed || _user.HasGivenUp;

    private TimeSpan Now => _parts.Now;

    /// <summary>Somebody else has begun to read the first pieces at the origin, and will store them with <see cref="Reads"/>. Returns the id of that request.</summary>
    public int Began(int pieces)
    {
        // Before the grant for it is heard of, or they would be asked for twice.
        var id = Machine.OriginRequestStarted(0, pieces, Now);
        MarkIncoming(0, pieces, isIncoming: true);
        return id;
    }

    /// <summary>The piece is being read at the origin.</summary>
    public bool IsReading(int piece) => _fromOrigin.Contains(piece);

    /// <summary>Does what was decided since this was called last.</summary>
    public void CarryOut()
    {
        foreach (var action in Machine.TakeActions())
        {
            switch (action)
            {
                case DownloadAction.FetchFromPeer fetch:
                    Start(fetch.Id, token => FetchFromPeerAsync(fetch, token));
                    break;
                case DownloadAction.FetchFromOrigin read:
                    if (!read.IsGranted)
                    {
                        DownloadLog.LastResort(_parts.Services.Logger, _content.Digest, read.First, read.Count);
                    }

                    MarkIncoming(read.First, read.Count, isIncoming: true);
                    Start(read.Id, token => ReadFromOriginAsync(read, token));
                    break;
                case DownloadAction.Cancel cancel:
                    if (_running.TryGetValue(cancel.Id, out var request))
                    {
                        request.Cancel();
                    }

                    break;
                case DownloadAction.GiveBack giveBack:
                    // What has arrived first, or its owner takes that for not read.
                    FlushReport();
                    _user.Report(new GrantReport { GivenBack = { giveBack.Segments }, OriginFailed = giveBack.OriginFailed, OriginPauseMs = (uint)giveBack.OriginPause.TotalMilliseconds });
                    break;
                case DownloadAction.ReportFailed failed:
                    // With what has arrived of it: the owner counts that first.
                    FlushReport(failed.Failed);
                    break;
                case DownloadAction.AskAgain:
                    _user.AskAgain();
                    break;
                case DownloadAction.Fail:
                    _user.NoSource();
                    break;
            }
        }
    }

    /// <summary>What is wanted, or by whom it may be read at the origin, has changed.</summary>
    public void DemandsChanged()
    {
        var longest = _content.KeepsInMemory ? LongestInMemory : int.MaxValue;
        _longestDemanded = longest;
        var demands = _parts.Readers.Demands(_content.Layout.PieceCount, FirstUnverified, longest);
        Machine.DemandsChanged(demands, Now, isAhead: _parts.Readers.IsEmpty && !_user.WantsWhole);
        CarryOut();
    }

    /// <summary>What had to give way in memory, or was found wrong: who reads in order would come to it one piece after the other.</summary>
    public void NoteLosses()
    {
        if (_content.Losses is var losses && losses != _losses && !_user.HasGivenUp)
        {
            _losses = losses;
            Machine.PiecesLost(_content.SnapshotPieces());

            if (_content.KeepsInMemory && LongestInMemory < _longestDemanded)
            {
                // More downloads than before share the memory.
                DemandsChanged();
            }
        }
    }

    /// <summary>
    /// Waits for a frame. Whoever waits is known before it is looked for: in memory it may come and go between the two, and
    /// what is gone must be fetched again. It may be gone, too, when the wait is over. Called without the lock.
    /// </summary>
    public ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken)
    {
        var arrived = _content.WaitForFrameAsync(frame, cancellationToken);
        lock (_parts.Gate)
        {
            FrameLost(frame);
        }

        return arrived;
    }

    /// <summary>A reader needs a frame that is not here: yet, or any more.</summary>
    public void FrameLost(int frame)
    {
        var piece = frame / _content.Layout.FramesPerPiece;
        if (!_content.HasFrame(frame) && Machine.Had(piece))
        {
            Machine.PieceLost(piece, _content.KeepsInMemory, Now);
            CarryOut();
        }
    }

    /// <summary>Time passes: to be called every now and then while anything is wanted.</summary>
    public void Tick()
    {
        _parts.Readers.RefuseBarred(_content, FirstUnverified, piece => Machine.IsFetching(piece) || Machine.IsDemanded(piece));
        var (moved, refused) = Machine.Hedges;
        NoteLosses();
        Machine.Tick(Now);
        _parts.Services.Metrics.Hedged(Machine.Hedges.Moved - moved, Machine.Hedges.Refused - refused);
        CarryOut();
    }

    /// <summary>
    /// A reader waits for these frames. They are fetched before all else from peers that are known to have them, frame by
    /// frame; for what no peer has the demands must be told.
    /// </summary>
    /// <param name="first">First frame.</param>
    /// <param name="end">Frame behind the last.</param>
    /// <param name="reader">What is traced of the reader.</param>
    public void FetchUrgently(int first, int end, ActivityContext reader)
    {
        _urgent.Await(first, end, _content);

        // Reads of the origin stand in line by the digest that the origin knows.
        _parts.Services.OriginRate?.Hasten(_content.Digest.Unscoped);
        FetchUrgently(first, end, UrgentTries, reader);
    }

    /// <summary>The frame is asked for by <see cref="FetchUrgently(int, int, ActivityContext)"/>.</summary>
    public bool IsFetchingUrgently(int frame) => _urgent.IsFetching(frame);

    /// <summary>Who goes before whom where bandwidth is limited. Of what nobody pulls, all that nobody waits for may be needed later.</summary>
    public Urgency UrgencyOf(int first, int count)
    {
        lock (_parts.Gate)
        {
            return _urgent.IsAnyAwaited(first, count, _content) ? Urgency.Streaming
                : _user.WantsWhole || !_parts.Readers.IsEmpty ? Urgency.Pull
                : Urgency.Ahead;
        }
    }

    /// <summary>Tells the owner what has arrived and was not told.</summary>
    public void FlushReport(FailedFetch? failed = null)
    {
        // An owner that is wrong would count these for pieces of a content of another size, and send others here for them.
        if (_reports.Take(failed, isHeard: _user.IsOwnerRight) is { } report)
        {
            _user.Report(report);
        }
    }

    /// <summary>
    /// Tells the owner of all that has arrived, before the download ends. A reader may have seen the last of it, and be done, before this was
    /// told that it had come: an owner that does not hear of it has it read again.
    /// </summary>
    public void ReportLast()
    {
        foreach (var piece in SegmentRuns.Numbers(_fromOrigin).Where(piece => _content.HasPiece(piece) && !Machine.Had(piece)))
        {
            _reports.Arrived(piece, IsFromOrigin(piece));
        }

        FlushReport();
    }

    /// <summary>Ends all that is under way.</summary>
    public void CancelAll()
    {
        foreach (var request in _running.Values.ToList())
        {
            request.Cancel();
        }
    }

    /// <summary>Drops all that is here.</summary>
    public void DropAll()
    {
        _parts.Frames.DropAll();
        _reports.Clear();
    }

    SourceFailure? IOriginReadUser.OtherSize(long size)
    {
        lock (_parts.Gate)
        {
            _user.OtherSize(size);
            return _parts.Outage.Failure;
        }
    }

    bool IOriginReadUser.TryExpect(int frame, ulong checksum)
    {
        lock (_parts.Gate)
        {
            if (_parts.Frames.ContradictsOwner(frame, checksum))
            {
                _user.OriginContradicts();
            }
        }

        return _parts.Frames.TryExpectFromOrigin(frame, checksum);
    }

    void IOriginReadUser.Stored(int frame, TimeSpan answered)
    {
        OriginSends(answered);
        FrameStored(frame, fromOrigin: true);
    }

    void IOriginReadUser.Ended(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure) => EndRead(read, origin, failure);

    private void Start(int id, Func<CancellationToken, Task> run)
    {
        if (IsOver)
        {
            return;
        }

        var cancel = CancellationTokenSource.CreateLinkedTokenSource(_parts.Stopping);
        _running.Add(id, cancel);
        _parts.Tasks.Run(() => RunAsync(id, cancel, run));
    }

    private async Task RunAsync(int id, CancellationTokenSource cancel, Func<CancellationToken, Task> run)
    {
        try
        {
            await run(cancel.Token);
        }
        finally
        {
            lock (_parts.Gate)
            {
                _running.Remove(id);
                // Whatever became of it: a request whose end is never told keeps its pieces from being asked for again.
                Machine.RequestAbandoned(id, Now);
                CarryOut();
            }

            cancel.Dispose();
        }
    }

    private async Task FetchFromPeerAsync(DownloadAction.FetchFromPeer fetch, CancellationToken cancellationToken)
    {
        var isAhead = UrgencyOf(fetch.First, fetch.Count) == Urgency.Ahead;
        var outcome = await _fetches.FetchAsync(fetch, _content, isAhead, new Sink(this, fetch.Id, fetch.Node, isAhead), cancellationToken);
        lock (_parts.Gate)
        {
            Machine.PeerRequestEnded(fetch.Id, outcome.Kind, outcome.Holders, outcome.Pieces, Now);
            CarryOut();
        }
    }

    private void FetchUrgently(int first, int end, int tries, ActivityContext reader)
    {
        while (!IsOver && tries > 0 && _urgent.NextMissing(first, end, _content) is var (start, next))
        {
            if (Machine.AskUrgently(start / _content.Layout.FramesPerPiece, Now) is var (id, node))
            {
                _urgent.Began(start, next);
                Start(id, token => FetchFramesAsync(id, node, start, next, tries - 1, reader, token));
            }

            first = next;
        }
    }

    private async Task FetchFramesAsync(int id, string node, int first, int end, int tries, ActivityContext reader, CancellationToken cancellationToken)
    {
        var layout = _content.Layout;
        var range = ByteRange.FromBounds(layout.Frame(first).Offset, layout.Frame(end - 1).End);
        var outcome = RangeOutcome.NotAMember;
        try
        {
            outcome = await _fetches.FetchUrgentlyAsync(node, layout, range, reader, new Sink(this, id, node), cancellationToken);
        }
        finally
        {
            lock (_parts.Gate)
            {
                _urgent.Ended(first, end);
                Machine.PeerRequestEnded(id, outcome.Kind, outcome.Holders, outcome.Pieces, Now);
                if (outcome.Kind != RangeOutcomeKind.Complete)
                {
                    FetchUrgently(first, end, tries, reader);
                }

                CarryOut();
            }
        }
    }

    private async Task ReadFromOriginAsync(DownloadAction.FetchFromOrigin read, CancellationToken cancellationToken)
    {
        var layout = _content.Layout;
        var end = layout.Piece(read.First + read.Count - 1).End;
        var start = _content.FirstMissing(layout.Piece(read.First).Offset, end);
        if (start >= end)
        {
            EndRead(read, origin: null, failure: null);
            return;
        }

        var piece = layout.PieceAt(start);
        OriginReference? origin;
        int stop;
        lock (_parts.Gate)
        {
            (origin, stop) = _parts.Readers.WayFor(piece, read.First + read.Count, FirstUnverified);
        }

        if (origin is null)
        {
            Bar(read, piece);
            return;
        }

        await Reads.ReadAsync(read, origin, () => UrgencyOf(read.First, read.Count), ByteRange.FromBounds(start, layout.Piece(stop - 1).End), cancellationToken);
    }

    /// <summary>
    /// No client that wants this piece can read it at the origin, and others' credentials are not for them: they wait for what
    /// comes for others.
    /// </summary>
    private void Bar(DownloadAction.FetchFromOrigin read, int piece)
    {
        lock (_parts.Gate)
        {
            MarkIncoming(read.First, read.Count, isIncoming: false);
            _parts.Readers.Bar(piece, FirstUnverified);
            DemandsChanged();
            Machine.OriginRequestUnmade(read.Id, Now);
            CarryOut();
        }
    }

    private void EndRead(DownloadAction.FetchFromOrigin read, OriginReference? origin, SourceFailure? failure)
    {
        lock (_parts.Gate)
        {
            MarkIncoming(read.First, read.Count, isIncoming: false);
            if (failure is null)
            {
                if (origin is not null)
                {
                    _parts.Origins.Worked(origin);
                }
            }
            else if (_parts.Origins.Failed(origin!, failure))
            {
                failure = null;
            }

            if (failure is not null)
            {
                _parts.Outage.Began(failure, Now);
            }

            Machine.OriginRequestEnded(read.Id, failure is null, TimeSpan.FromMilliseconds(OriginOutage.Milliseconds(failure?.RetryAfter)), Now);
            if (_parts.Readers.Unbar())
            {
                DemandsChanged();
            }

            CarryOut();
        }
    }

    /// <summary>The origin sends what it was asked for since it failed; what it began to send before says nothing.</summary>
    private void OriginSends(TimeSpan answered)
    {
        if (_parts.Outage.Failure is not null)
        {
            lock (_parts.Gate)
            {
                if (answered > _parts.Outage.Since)
                {
                    _user.OriginSends();
                }
            }
        }
    }

    private void MarkIncoming(int first, int count, bool isIncoming)
    {
        for (var piece = first; piece < first + count; piece++)
        {
            if (isIncoming)
            {
                _fromOrigin.Add(piece);
            }
            else
            {
                _fromOrigin.Remove(piece);
            }
        }
    }

    private void FrameStored(int frame, bool fromOrigin)
    {
        Interlocked.Increment(ref _stored);
        var piece = frame / _content.Layout.FramesPerPiece;
        if (!_content.HasPiece(piece))
        {
            lock (_parts.Gate)
            {
                Machine.BytesArrived(piece, Now);
                if (fromOrigin && _user.IsOwnerRight && _reports.Reading(piece, Now) is { } report)
                {
                    _user.Report(report);
                }
            }

            return;
        }

        lock (_parts.Gate)
        {
            Machine.PieceArrived(piece, Now);
            if (!_content.HasPiece(piece))
            {
                // Who waits for it found nothing to be lost yet.
                Machine.PieceLost(piece, _content.KeepsInMemory, Now);
            }

            _reports.Arrived(piece, IsFromOrigin(piece));

            // The owner waits for segments from peers, and for every sign of life from the origin.
            if ((fromOrigin || Machine.HasSegmentOf(piece)) && _reports.TrySchedule())
            {
                _parts.Tasks.Run(() => ReportLaterAsync(_parts.Stopping));
            }

            CarryOut();
        }
    }

    /// <summary>All frames of the piece came from the origin. Of one that was read there a peer may have sent some, and those are nothing to compare others with.</summary>
    private bool IsFromOrigin(int piece)
    {
        var layout = _content.Layout;
        return Enumerable.Range(layout.FirstFrameOf(piece), layout.FramesIn(piece)).All(frame => _parts.Frames.SourceOf(frame) == ByteSource.Origin);
    }

    private async Task ReportLaterAsync(CancellationToken cancellationToken)
    {
        await Task.Delay(_parts.Services.Policy.ReportInterval, _parts.Services.Time, cancellationToken);
        lock (_parts.Gate)
        {
            FlushReport();
        }
    }

    private void PeerWaits(int id)
    {
        lock (_parts.Gate)
        {
            Machine.Waiting(id, Now);
            CarryOut();
        }
    }

    private void HeldBack(int id, bool isHeld, bool isAhead)
    {
        lock (_parts.Gate)
        {
            Machine.HeldBack(id, isHeld, isAhead, Now);
        }
    }

    private sealed class Sink(DownloadDriver driver, int id, string node, bool isAhead = false) : IRangeSink
    {
        private readonly ArrivingFrames _frames = driver._parts.Frames;
        private readonly int _resets = driver._content.Resets;
        private bool _hasSent;

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            if (!_hasSent)
            {
                _hasSent = true;
                _frames.SentBy(node, _resets);
            }

            var arrival = _frames.Take(node, frame, data, checksum, _resets);
            if (arrival == FrameArrival.Stored)
            {
                driver.FrameStored(frame, fromOrigin: false);
            }

            return arrival != FrameArrival.Refused;
        }

        public void Told(string mediaType) => driver._content.MediaType = mediaType;

        public void Waiting() => driver.PeerWaits(id);

        public void HeldBack(bool isHeld) => driver.HeldBack(id, isHeld, isAhead);
    }
}
