using System.Collections.Concurrent;
using System.Net;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;

namespace Peerd.Node.Swarm;

/// <summary>
/// The owner's side of the mesh: one <see cref="Coordinator"/> for each content that somebody asks for, fed by Lookup
/// streams and by the directory. Thread-safe; each coordinator is used under its own lock.
/// </summary>
internal sealed partial class Coordination : BackgroundService, ILookupHandler, IHolderObserver
{
    /// <summary>Bytes of what is kept in proportion to sizes: a content of 100 GiB that 500 nodes ask for takes 70 MB of it.</summary>
    private const long MostOfSizes = 96 << 20;

    /// <summary>Time between two warnings that there is no room.</summary>
    private static readonly TimeSpan RefusalPause = TimeSpan.FromSeconds(1);

    /// <summary>Time between two looks whether there is room for what was left out: each copies what the directory has.</summary>
    private static readonly TimeSpan LookAgain = TimeSpan.FromSeconds(5);

    internal static readonly TimeSpan TickInterval = TimeSpan.FromMilliseconds(250);

    /// <summary>How long another owner may take to tell what it knows.</summary>
    internal static readonly TimeSpan OtherOwnerPatience = TimeSpan.FromMilliseconds(300);

    /// <summary>
    /// What all pushes together that their askers have not taken yet may take of memory, in bytes. A thousand askers may be some hundred of the
    /// usual ones behind, but only a few askers one of the largest, with all checksums of a huge content.
    /// </summary>
    internal const long MostUnsent = 64 * 1024 * 1024;

    private readonly HolderDirectory _directory;
    private readonly ICoordinationMesh _mesh;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CoordinatorPolicy _policy = new();
    private readonly ConcurrentDictionary<Digest, CoordinatedContent> _contents = new();
    private readonly Lock _opening = new();
    private readonly CancellationTokenSource _stop = new();
    private long _refusedAt;
    private int _disposed;

    /// <summary>What is kept of the checksums that others tell.</summary>
    public ChecksumBudget Checksums { get; } = new();

    /// <summary>What is to be told and nobody has taken.</summary>
    public UnsentPushes Unsent { get; } = new(MostUnsent);

    /// <summary>What is kept in proportion to the sizes that others tell.</summary>
    public SizeBudget Sizes { get; } = new(MostOfSizes);

    public Coordination(HolderDirectory directory, ICoordinationMesh mesh, TimeProvider time, ILogger<Coordination> logger)
    {
        _logger = logger;
        _mesh = mesh;
        _directory = directory;
        _time = time;
        directory.Observe(this);
    }

    public ILookupSession Open(Want want, IPAddress? from = null)
    {
        var digest = Digest.TryParseScoped(want.Digest, out var name) ? name : throw new FormatException("'want.digest' is no digest");
        CoordinatedContent content;
        lock (_opening)
        {
            content = _contents.GetOrAdd(digest, key => new CoordinatedContent(this, key));
            content.IsJoining(1);
        }

        var session = new LookupSession(content, want.Member, from, _directory, Unsent);
        try
        {
            if (session.IsOutdated)
            {
                session.End();
            }
            else
            {
                content.Join(session, want);
            }
        }
        finally
        {
            content.IsJoining(-1);
        }

        return session;
    }

    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_contents.Values.Select(content => content.Asking)).WaitAsync(cancellationToken);
        await base.StopAsync(cancellationToken);
    }

    public override void Dispose()
    {
        // Registered under several types, it is disposed as often.
        if (Interlocked.Exchange(ref _disposed, 1) == 0)
        {
            _stop.Cancel();
            _stop.Dispose();
            base.Dispose();
        }
    }

    void IHolderObserver.HolderChanged(Digest content, string node)
    {
        if (_contents.TryGetValue(content, out var coordinated))
        {
            try
            {
                coordinated.HolderChanged(node);
            }
            catch (Exception e)
            {
                // Nor must it end the stream, or the task, that the news comes from.
                Log.TickFailed(_logger, e, content);
            }
        }
    }

    void IHolderObserver.Mismatched(Digest content)
    {
        if (_contents.TryGetValue(content, out var coordinated))
        {
            try
            {
                coordinated.Mismatched();
            }
            catch (Exception e)
            {
                Log.TickFailed(_logger, e, content);
            }
        }
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(TickInterval, _time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            foreach (var content in _contents.Values)
            {
                try
                {
                    content.Tick();
                    if (content.IsIdle)
                    {
                        CloseIfIdle(content);
                    }
                }
                catch (Exception e)
                {
                    // One content must not end the others' coordination, and the node with it.
                    Log.TickFailed(_logger, e, content.Digest);
                }
            }
        }
    }

    // Who is refused comes again, and tells it anew.
    private void LogRefused(Digest content, long size, string teller)
    {
        var (now, last) = (Now.Ticks, Interlocked.Read(ref _refusedAt));
        if (now >= last && Interlocked.CompareExchange(ref _refusedAt, now + RefusalPause.Ticks, last) == last)
        {
            Log.SizeRefused(_logger, content, size, teller);
        }
    }

    private TimeSpan Now => _time.GetElapsedTime(0);

    private void CloseIfIdle(CoordinatedContent content)
    {
        lock (_opening)
        {
            if (content.IsIdle)
            {
                // Not the one that has taken its place: a session may end long after its node has gone to another owner.
                _contents.TryRemove(KeyValuePair.Create(content.Digest, content));
                content.Forget();
            }
        }
    }

    /// <summary>One content's coordinator, its sessions, and the lock around both.</summary>
    private sealed class CoordinatedContent(Coordination owner, Digest digest)
    {
        private readonly Lock _lock = new();
        private readonly Coordinator _coordinator = new(owner._policy, StableSeed.Of(digest), owner._mesh.ZoneOf);
        private readonly Dictionary<string, LookupSession> _sessions = new(StringComparer.Ordinal);
        private readonly ChecksumShare _checksums = new(owner.Checksums);
        private readonly SizeShare _size = new(owner.Sizes);
        private Task _flushing = Task.CompletedTask;
        private TimeSpan? _lastFlush;
        private bool _hasAskedOther;

        /// <summary>The directory has something of it for which there was no room here.</summary>
        private bool _hasSkipped;
        private TimeSpan _lookAgainAt;
        private int _joining;

        public Digest Digest { get; } = digest;

        /// <summary>Asks the other owner as long as that is of use; never fails.</summary>
        public Task Asking { get; private set; } = Task.CompletedTask;

        public bool IsIdle
        {
            get
            {
                lock (_lock)
                {
                    // Those who come soon must not find a coordinator that does not know that another one deals.
                    return _sessions.Count == 0 && _joining == 0 && !_coordinator.Yields(owner.Now);
                }
            }
        }

        /// <summary>Keeps the content while somebody opens a session.</summary>
        public void IsJoining(int change)
        {
            lock (_lock)
            {
                _joining += change;
            }
        }

        public void Join(LookupSession session, Want want)
        {
            lock (_lock)
            {
                var now = owner.Now;
                if (_sessions.Count == 0 && owner._directory.TryFind(Digest, out var entry))
                {
                    TakeFrom(entry, now);
                }

                if (want.Observes)
                {
                    session.Push(_coordinator.Tell());
                    if (owner._mesh.IsNearer(Digest, session.Node))
                    {
                        _coordinator.Yield(now);
                        BeginAsking();
                    }

                    return;
                }

                if (!HasRoomFor(session.Node, want.Size) || (want.Size > 0 && !TryKnowSize(want.Size, string.Empty, session.Node)))
                {
                    session.Refuse();
                    return;
                }

                // A node that asks on a second stream has lost the first one.
                if (_sessions.TryGetValue(session.Node, out var former))
                {
                    _coordinator.Left(session.Node, now);
                    if (former != session)
                    {
                        former.End();
                    }
                }

                _sessions[session.Node] = session;
                session.WantsOrder = want.Wanted.Count > 0;
                want = OfThisSize(want);
                AskOtherOwner(want, now);
            }

            // Outside the lock: the directory tells us of the change.
            session.ReportHeld(want.Size, string.Empty, want.Have);
            lock (_lock)
            {
                if (IsCurrent(session))
                {
                    _coordinator.Asked(session.Node, want, owner.Now);
                    ScheduleFlush();
                    TellOrder();
                }
            }
        }

        public void Leave(LookupSession session)
        {
            lock (_lock)
            {
                if (IsCurrent(session))
                {
                    Left(session, isMoving: false);
                    ScheduleFlush();
                }
            }

            owner.CloseIfIdle(this);
        }

        public void Ask(LookupSession session, Want want)
        {
            lock (_lock)
            {
                if (IsCurrent(session))
                {
                    _coordinator.Asked(session.Node, OfThisSize(want), owner.Now);
                    ScheduleFlush();
                }
            }
        }

        public void Report(LookupSession session, GrantReport report)
        {
            // Outside the lock: who asks for a peer may find out that others are gone.
            var hasMoved = report.Moving && owner._mesh.HasMovedLately(Digest);
            long size;
            lock (_lock)
            {
                if (!IsCurrent(session))
                {
                    return;
                }

                if ((report.Size > 0 || (report.MediaType.Length > 0 && _coordinator.Size is not null))
                    && !TryKnowSize(report.Size, report.MediaType, session.Node, finder: session.Node))
                {
                    Left(session, isMoving: false);
                    session.Refuse();
                    ScheduleFlush();
                    return;
                }

                KeepChecksums(session, report);
                size = _coordinator.Size ?? 0;
            }

            session.ReportHeld(size, report.MediaType, report.Arrived);
            lock (_lock)
            {
                if (!IsCurrent(session))
                {
                    return;
                }

                _coordinator.Reported(session.Node, report, owner.Now);
                if (hasMoved)
                {
                    // To the one who deals now.
                    _coordinator.Yield(owner.Now);
                }

                if (report.Moving)
                {
                    Left(session, isMoving: true);
                }

                ScheduleFlush();
            }
        }

        public void HolderChanged(string node)
        {
            lock (_lock)
            {
                // Looked up under the lock: of two changes at once the newer must be the last word.
                var held = owner._directory.Find(Digest, node) is { IsEmpty: false } found ? found : null;
                if (held is not null && !(IsSizeKnown() && (_coordinator.Knows(node) || HasRoomFor(node, owner._directory.SizeOf(Digest)?.Size ?? 0))))
                {
                    _hasSkipped = true;
                    return;
                }

                _coordinator.HolderChanged(node, held?.Complete ?? false, held?.Pieces, owner.Now);
                ScheduleFlush();
                TellOrder();
            }
        }

        public void Mismatched()
        {
            lock (_lock)
            {
                _coordinator.ChecksumsInDoubt();
                _checksums.Clear();
            }
        }

        /// <summary>Nobody asks for it any more.</summary>
        public void Forget()
        {
            lock (_lock)
            {
                _checksums.Clear();
                _size.End();
            }
        }

        public void Tick()
        {
            lock (_lock)
            {
                var now = owner.Now;
                if (_hasSkipped && now >= _lookAgainAt && HasRoomFor(1))
                {
                    _lookAgainAt = now + LookAgain;
                    _hasSkipped = false;
                    if (owner._directory.TryFind(Digest, out var entry))
                    {
                        TakeFrom(entry, now, isAgain: true);
                        TellOrder();
                    }
                }

                _coordinator.Tick(now);
                Flush();
            }
        }

        /// <summary>What the directory has of it, as far as there is room; the rest is looked for again.</summary>
        private void TakeFrom(ContentEntry entry, TimeSpan now, bool isAgain = false)
        {
            // Whoever of them told first: all have told the same.
            if (!TryKnowSize(entry.Size, entry.MediaType, entry.Holders[0].Node, isAgain: isAgain))
            {
                _hasSkipped = true;
                return;
            }

            foreach (var holder in entry.Holders.Where(static holder => !holder.IsEmpty))
            {
                if (HasRoomFor(holder.Node, entry.Size))
                {
                    _coordinator.HolderChanged(holder.Node, holder.Complete, holder.Pieces, now);
                }
                else
                {
                    _hasSkipped = true;
                }
            }
        }

        /// <summary>The size is known, if need be from the directory.</summary>
        private bool IsSizeKnown() =>
            _coordinator.Size is not null || owner._directory.SizeOf(Digest) is not { } told || TryKnowSize(told.Size, told.MediaType, told.Node);

        /// <summary>Somebody tells the size; false when there is no room for what is kept of a content of such a size.</summary>
        /// <param name="size">Bytes of the content.</param>
        /// <param name="mediaType">Its type; empty when unknown.</param>
        /// <param name="teller">Who says so.</param>
        /// <param name="finder">The node that found it out; null when it came from elsewhere.</param>
        /// <param name="isAgain">It was said before, and refused.</param>
        private bool TryKnowSize(long size, string mediaType, string teller, string? finder = null, bool isAgain = false)
        {
            if (_coordinator.Size is null && !_size.TryHold(CoordinatedMemory.BytesOf(size, _coordinator.Participants), AccountOf(teller)))
            {
                if (!isAgain)
                {
                    owner.LogRefused(Digest, size, teller);
                }

                return false;
            }

            _coordinator.SizeKnown(size, mediaType, owner.Now, finder);
            return true;
        }

        /// <summary>
        /// There is room for one more who asks for the content or holds it. Whoever told the size first may have told more than there is room
        /// for: all of it counts for this one then, if he tells the same.
        /// </summary>
        /// <param name="node">Who.</param>
        /// <param name="told">The size that he tells; 0 when he does not know it.</param>
        private bool HasRoomFor(string node, long told) =>
            _coordinator.Knows(node) || HasRoomFor(1) || (told == _coordinator.Size && _size.TryMove(AccountOf(node)) && HasRoomFor(1));

        private bool HasRoomFor(int more) => _coordinator.Size is not { } size || _size.TryHold(CoordinatedMemory.BytesOf(size, _coordinator.Participants + more));

        /// <summary>Names that are no members share what one member has.</summary>
        private string AccountOf(string node) => owner._directory.IsStranger(node) ? string.Empty : node;

        private void KeepChecksums(LookupSession session, GrantReport report)
        {
            var teller = AccountOf(session.Node);
            foreach (var checksums in report.Checksums)
            {
                if (!_checksums.TryTake(teller, checksums.Frames.Count))
                {
                    return;
                }

                if (!_coordinator.ChecksumsKnown(session.Node, (int)checksums.Piece, [.. checksums.Frames]))
                {
                    _checksums.GiveBack(teller, checksums.Frames.Count);
                }
            }
        }

        /// <summary>Who reads bit by bit is told what others needed next.</summary>
        private void TellOrder()
        {
            var order = owner._directory.StartupOrderOf(Digest);
            if (order.Count == 0)
            {
                return;
            }

            foreach (var session in _sessions.Values.Where(session => session.WantsOrder && session.ToldOrder < order.Count))
            {
                session.Push(new LookupResponse { StartupOrder = { order.Skip(session.ToldOrder) } });
                session.ToldOrder = order.Count;
            }
        }

        /// <summary>Without what it says of pieces when it is of another size than the content is here: they are other bytes.</summary>
        private Want OfThisSize(Want want)
        {
            if (want.Size <= 0 || _coordinator.Size is not { } size || size == want.Size)
            {
                return want;
            }

            var rest = want.Clone();
            rest.Have.Clear();
            rest.Reading.Clear();
            rest.Fetching.Clear();
            return rest;
        }

        private void Left(LookupSession session, bool isMoving)
        {
            _sessions.Remove(session.Node);
            _coordinator.Left(session.Node, owner.Now, isMoving);
        }

        private bool IsCurrent(LookupSession session) => _sessions.TryGetValue(session.Node, out var current) && ReferenceEquals(current, session);

        /// <summary>Just after the ring has changed another member may know who holds and reads what: nothing is granted before it was asked.</summary>
        private void AskOtherOwner(Want want, TimeSpan now)
        {
            if (!_hasAskedOther && (want.Continued || owner._mesh.HasChangedLately))
            {
                _hasAskedOther = true;
                _coordinator.Settle(now + OtherOwnerPatience);
                BeginAsking();
            }
        }

        /// <summary>What the other owner's requesters read and hold counts here, too.</summary>
        private void BeginAsking()
        {
            if (_sessions.Count > 0 && Asking.IsCompleted)
            {
                Asking = AskOtherOwnerAsync(owner._stop.Token);
            }
        }

        private async Task AskOtherOwnerAsync(CancellationToken stop)
        {
            // Again while others ask there, or may do so because they see an older ring.
            var pace = new AskingPace(owner._policy);
            for (var other = await HearAsync(stop); IsAsked() && (other is { Known.State: LookupState.Available } || owner._mesh.HasChangedLately); other = await HearAsync(stop))
            {
                await Task.Delay(pace.Next(other?.Known, HasSize()), owner._time, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (stop.IsCancellationRequested)
                {
                    return;
                }
            }
        }

        private bool IsAsked()
        {
            lock (_lock)
            {
                return _sessions.Count > 0;
            }
        }

        private bool HasSize()
        {
            lock (_lock)
            {
                return _coordinator.Size is not null;
            }
        }

        private async Task<OtherOwner?> HearAsync(CancellationToken stop)
        {
            using var patience = new CancellationTokenSource(OtherOwnerPatience, owner._time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, patience.Token);
            OtherOwner? other = null;
            try
            {
                other = await owner._mesh.AskOtherOwnerAsync(Digest, either.Token);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                Log.TickFailed(owner._logger, e, Digest);
            }

            lock (_lock)
            {
                if (_size.IsOver)
                {
                    // Nobody asks for it any more, and who does again asks another coordinator.
                    return null;
                }

                if (other is not null)
                {
                    if ((other.Known.Size <= 0 || TryKnowSize(other.Known.Size, other.Known.MediaType, other.Node))
                        && HasRoomFor(other.Known.Holders.Take(Hearsay.MostHeard).Count(holder => !_coordinator.Knows(holder.Node))))
                    {
                        _coordinator.Heard(other.Known, owner.Now);
                    }

                    if (other is { IsNearer: true, Known.State: LookupState.Available })
                    {
                        _coordinator.Yield(owner.Now);
                    }
                }

                _coordinator.Settled();
                ScheduleFlush();
            }

            return other;
        }

        /// <summary>At once after a while of rest, else with what else comes soon.</summary>
        private void ScheduleFlush()
        {
            if (!_flushing.IsCompleted)
            {
                return;
            }

            var interval = owner._policy.PushInterval(_sessions.Count);
            if (owner.Now - _lastFlush is { } since && since < interval)
            {
                _flushing = FlushLaterAsync(interval - since);
            }
            else
            {
                Flush();
            }
        }

        private async Task FlushLaterAsync(TimeSpan delay)
        {
            await Task.Delay(delay, owner._time);
            lock (_lock)
            {
                // Whoever comes from now on starts another one.
                _flushing = Task.CompletedTask;
                Flush();
            }
        }

        private void Flush()
        {
            var now = owner.Now;
            _lastFlush = now;
            foreach (var (node, push) in _coordinator.TakePushes(now))
            {
                if (_sessions.TryGetValue(node, out var session))
                {
                    session.Push(push);
                }
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "Coordinating {Digest} met an unexpected error")]
        public static partial void TickFailed(ILogger logger, Exception exception, Digest digest);

        [LoggerMessage(2, LogLevel.Warning, "{Node} says that {Digest} has {Size} bytes, and there is no room for what is kept of such a content: too much was told of others")]
        public static partial void SizeRefused(ILogger logger, Digest digest, long size, string node);
    }

    private sealed class LookupSession : ILookupSession
    {
        /// <summary>Pushes that are kept apart; beyond that they are merged, so that a slow asker costs bounded memory.</summary>
        private const int KeptPushes = 64;

        private readonly CoordinatedContent _content;
        private readonly UnsentPushes.Share _share;

        // Never disposed: it has no timer, and may be cancelled by whom another asker makes look.
        private readonly CancellationTokenSource _cut = new();
        private readonly HolderDirectory.Lease? _lease;
        private readonly Lock _lock = new();
        private readonly Queue<LookupResponse> _pushes = new();
        private readonly SemaphoreSlim _available = new(0);
        private LookupResponse? _last;
        private long _unsent;
        private long _taken;
        private bool _isEnded;
        private bool _isRefused;
        private int _disposed;

        public LookupSession(CoordinatedContent content, Contracts.V1.Member member, IPAddress? from, HolderDirectory directory, UnsentPushes unsent)
        {
            _content = content;

            // A name that is not proven may be one of many that one host thinks of.
            _share = unsent.Open(from is null ? member.Node : CallerAddress.Network(from).ToString(), CutOff);
            Cut = _cut.Token;
            Node = member.Node;
            _lease = directory.OpenLease(member, isReport: true, from, End);
        }

        public string Node { get; }

        public CancellationToken Cut { get; }

        /// <summary>Another process of the node, or the node itself, has taken the place of the one that asks.</summary>
        public bool IsOutdated => _lease?.IsOutdated != false;

        /// <summary>It reads bit by bit. The lock of the content protects this and the next.</summary>
        public bool WantsOrder { get; set; }

        /// <summary>Pieces of the order that it was told.</summary>
        public int ToldOrder { get; set; }

        public void Apply(LookupRequest request)
        {
            if (IsOutdated)
            {
                // What it told would not count, and it would wait for pushes that nobody makes.
                End();
                return;
            }

            switch (request.MessageCase)
            {
                case LookupRequest.MessageOneofCase.Want:
                    _content.Ask(this, request.Want);
                    break;
                case LookupRequest.MessageOneofCase.Report:
                    _content.Report(this, request.Report);
                    break;
            }
        }

        /// <summary>Enters pieces that the requester holds into the directory, which tells the coordinator.</summary>
        public void ReportHeld(long size, string mediaType, IReadOnlyCollection<PieceRun> pieces)
        {
            if (size > 0 && pieces.Count > 0)
            {
                _lease?.Add(_content.Digest, size, mediaType, pieces);
            }
        }

        public void Push(LookupResponse push)
        {
            var bytes = MessageMemory.Of(push);
            lock (_lock)
            {
                if (_isEnded)
                {
                    return;
                }

                _unsent += bytes;
                if (_pushes.Count >= KeptPushes)
                {
                    Merge(_last!, push);
                }
                else
                {
                    _last = push;
                    _pushes.Enqueue(push);
                    _available.Release();
                }
            }

            // Not under the lock: it may cut this one off, or another that is just being told something.
            _share.Add(bytes);
        }

        private void CutOff()
        {
            lock (_lock)
            {
                _pushes.Clear();
                _unsent = 0;
            }

            // Who writes to it is woken elsewhere: this may be called with the lock of another content.
            _ = _cut.CancelAsync();
            End();
        }

        /// <summary>Who asks for the next push has sent the one before.</summary>
        private void Sent()
        {
            long sent;
            lock (_lock)
            {
                // What was merged took less than its parts.
                sent = _pushes.Count == 0 ? _unsent : Math.Min(_unsent, _taken);
                _unsent -= sent;
                _taken = 0;
            }

            _share.Add(-sent);
        }

        /// <summary>In one push revocations come before grants and losses before holders, so what the later push takes back is struck out of the earlier.</summary>
        private static void Merge(LookupResponse earlier, LookupResponse later)
        {
            foreach (var revoked in later.Revoked)
            {
                for (var i = earlier.Granted.Count - 1; i >= 0; i--)
                {
                    var granted = earlier.Granted[i];
                    var (start, end) = (granted.First, granted.First + granted.Count);
                    var (cut, cutEnd) = (Math.Clamp(revoked.First, start, end), Math.Clamp(revoked.First + revoked.Count, start, end));
                    earlier.Granted.RemoveAt(i);
                    if (cut > start)
                    {
                        earlier.Granted.Add(new SegmentRun { First = start, Count = cut - start });
                    }

                    if (cutEnd < end)
                    {
                        earlier.Granted.Add(new SegmentRun { First = cutEnd, Count = end - cutEnd });
                    }
                }
            }

            foreach (var gone in later.Gone)
            {
                for (var i = earlier.Holders.Count - 1; i >= 0; i--)
                {
                    if (earlier.Holders[i].Node == gone)
                    {
                        earlier.Holders.RemoveAt(i);
                    }
                }
            }

            earlier.MergeFrom(later);
        }

        /// <summary>Another stream, or another process, has taken its place: the requester learns so by the end of the stream.</summary>
        public void End()
        {
            lock (_lock)
            {
                if (_isEnded)
                {
                    return;
                }

                _isEnded = true;
            }

            _available.Release();
        }

        /// <summary>There is no room to coordinate it: the requester goes to another owner, or does without.</summary>
        public void Refuse()
        {
            Volatile.Write(ref _isRefused, true);
            End();
        }

        public async ValueTask<LookupResponse> NextAsync(CancellationToken cancellationToken)
        {
            Sent();
            await _available.WaitAsync(cancellationToken);
            lock (_lock)
            {
                if (_pushes.TryDequeue(out var push))
                {
                    _taken = MessageMemory.Of(push);
                    return push;
                }

                throw new RpcException(
                    Volatile.Read(ref _isRefused) ? new Status(StatusCode.ResourceExhausted, "there is no room to coordinate a content of this size")
                    : Cut.IsCancellationRequested ? new Status(StatusCode.ResourceExhausted, "too much waits to be taken, most of it by this caller")
                    : new Status(StatusCode.Aborted, "another stream of the node has taken the place of this one"));
            }
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _disposed, 1) == 0)
            {
                _content.Leave(this);
                _lease?.Dispose();
                _share.Dispose();
            }
        }
    }
}
