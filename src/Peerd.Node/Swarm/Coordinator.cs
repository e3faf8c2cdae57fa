using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

namespace Peerd.Node.Swarm;

/// <summary>Constants of the owner's policy.</summary>
internal sealed record CoordinatorPolicy
{
    /// <summary>Askers that read from the origin at the same moment.</summary>
    public int Readers { get; init; } = 8;

    /// <summary>Grants that one asker may have open, so that it asks the origin for the next while it reads one.</summary>
    public int GrantsPerAsker { get; init; } = 2;

    /// <summary>Segments in one grant at most, as long as there are several askers.</summary>
    public int LongestGrant { get; init; } = 16;

    /// <summary>A grant without new bytes for this long is dealt again.</summary>
    public TimeSpan Lease { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>A node that let a lease expire gets no grant for this long while others can.</summary>
    public TimeSpan Ban { get; init; } = TimeSpan.FromSeconds(8);

    /// <summary>
    /// A new owner that a download goes on with grants nothing for this long: the others of the same herd come, too, and
    /// tell what they are reading.
    /// </summary>
    public TimeSpan Settling { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Pieces whose checksums a newcomer is told: all of them for contents up to 32 GiB, and no message is too long for gRPC.</summary>
    public int ChecksumsAtOnce { get; init; } = 32 * 1024;

    /// <summary>Holders that one asker is told of.</summary>
    public int HolderSample { get; init; } = 16;
}

/// <summary>
/// The owner's side of one content: decides who reads which segment from the origin and tells askers who holds what.
/// Pure: events and time go in, pushes come out; no I/O, no clock, no randomness but the seed's. Not thread-safe.
/// </summary>
internal sealed class Coordinator(CoordinatorPolicy policy, int seed)
{
    private readonly SortedDictionary<string, Asker> _askers = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, Holder> _holders = new(StringComparer.Ordinal);
    private readonly Dictionary<int, ulong[]> _checksums = [];
    private readonly List<int> _newChecksums = [];
    private readonly Random _random = new(seed);
    private TimeSpan _settledAt = TimeSpan.MinValue;
    private ContentLayout? _layout;
    private string _mediaType = string.Empty;
    private PieceSet? _held;
    private readonly Dictionary<int, Grant> _granted = [];

    /// <summary>Nobody asks.</summary>
    public bool IsIdle => _askers.Count == 0;

    /// <summary>Size of the content; null as long as nobody knows it.</summary>
    public long? Size => _layout?.Size;

    /// <summary>Who has which segment granted right now.</summary>
    public IEnumerable<KeyValuePair<int, string>> Grants => _granted.Select(pair => KeyValuePair.Create(pair.Key, pair.Value.Asker.Node));

    /// <summary>A node asks, or asks again.</summary>
    /// <param name="node">Name of the node.</param>
    /// <param name="canReachOrigin">It is able to read from the origin.</param>
    /// <param name="isContinued">It has had a session before this one.</param>
    /// <param name="reading">Segments that it is reading already, granted by a former session.</param>
    /// <param name="now">The time.</param>
    public void Asked(string node, bool canReachOrigin, bool isContinued, IReadOnlyCollection<SegmentRun> reading, TimeSpan now)
    {
        if (!_askers.TryGetValue(node, out var asker))
        {
            _askers.Add(node, asker = new Asker(node));
            if (_layout is not null)
            {
                asker.Pending.Size = _layout.Value.Size;
                asker.Pending.MediaType = _mediaType;
            }

            foreach (var (piece, checksums) in _checksums.Take(policy.ChecksumsAtOnce))
            {
                asker.Pending.Checksums.Add(ToMessage(piece, checksums));
            }
        }

        asker.CanReachOrigin = canReachOrigin;
        asker.ToldState = LookupState.Unspecified;
        if (_askers.Count == 1 && _granted.Count == 0 && isContinued)
        {
            _settledAt = now + policy.Settling;
        }

        if (_layout is { } layout && canReachOrigin && Uncovered(layout, reading) is { Count: > 0 } uncovered)
        {
            Add(asker, uncovered, now);
        }

        Decide(now);
        Reclaim();
    }

    /// <summary>A node does not ask any more: it reads nothing from the origin from now on.</summary>
    public void Left(string node, TimeSpan now)
    {
        if (_askers.Remove(node, out var asker))
        {
            Release(asker, _ => true);
            if (!_holders.ContainsKey(node))
            {
                // It was told as receiving and holds nothing: its place is for another.
                RemoveFromSamples(node);
            }

            Decide(now);
        }
    }

    /// <summary>Somebody knows the size. The first word counts.</summary>
    public void SizeKnown(long size, string mediaType, TimeSpan now)
    {
        if (_mediaType.Length == 0 && mediaType.Length > 0)
        {
            _mediaType = mediaType;
            PushAll(pending => pending.MediaType = mediaType);
        }

        if (_layout is not null || size is < 0 or > HolderDirectory.MaxSize)
        {
            return;
        }

        var layout = new ContentLayout(size);
        _layout = layout;
        _held = new PieceSet(layout.PieceCount);
        PushAll(pending => pending.Size = size);
        ExtendProbe(layout, now);
        foreach (var holder in _holders.Values)
        {
            holder.Resize(layout.PieceCount);
        }

        Recount();
        Decide(now);
    }

    /// <summary>What a node holds now, as the directory has it; null when it holds nothing any more.</summary>
    public void HolderChanged(string node, bool complete, PieceSet? pieces, TimeSpan now)
    {
        if (pieces is null)
        {
            if (_holders.Remove(node))
            {
                RemoveFromSamples(node);
            }
        }
        else if (_layout is null || pieces.Capacity == _layout.Value.PieceCount)
        {
            if (!_holders.TryGetValue(node, out var holder))
            {
                _holders.Add(node, holder = new Holder(node));
            }

            holder.Complete = complete;
            holder.Pieces = pieces;
            Progress(node, pieces, now);
        }

        Recount();
        Decide(now);
    }

    /// <summary>Checksums as the first reader of a piece told them; later words do not count.</summary>
    public void ChecksumsKnown(int piece, ulong[] checksums)
    {
        if (_layout is { } layout && piece >= 0 && piece < layout.PieceCount && checksums.Length == layout.FramesIn(piece) && _checksums.TryAdd(piece, checksums))
        {
            _newChecksums.Add(piece);
        }
    }

    /// <summary>A requester does not read these segments after all.</summary>
    public void GivenBack(string node, IEnumerable<SegmentRun> segments, bool originFailed, TimeSpan now)
    {
        if (!_askers.TryGetValue(node, out var asker))
        {
            return;
        }

        foreach (var run in segments)
        {
            Release(asker, segment => segment >= run.First && segment - run.First < run.Count);
        }

        if (originFailed)
        {
            asker.CanReachOrigin = false;
        }

        Decide(now);
    }

    /// <summary>Bytes of these segments arrive at a requester, slowly: its grants live on.</summary>
    public void Reading(string node, IEnumerable<SegmentRun> segments, TimeSpan now)
    {
        if (!_askers.TryGetValue(node, out var asker))
        {
            return;
        }

        foreach (var run in segments)
        {
            foreach (var grant in asker.Grants.Where(grant => grant.Segments.Exists(segment => segment >= run.First && segment - run.First < run.Count)))
            {
                grant.LastProgress = now;
            }
        }
    }

    /// <summary>Time passes: stalled grants are dealt again, samples change a little.</summary>
    public void Tick(TimeSpan now)
    {
        foreach (var asker in _askers.Values)
        {
            foreach (var stalled in asker.Grants.Where(grant => now - grant.LastProgress > policy.Lease).ToList())
            {
                asker.BannedUntil = now + policy.Ban;
                asker.Expired++;
                asker.Pending.Revoked.AddRange(ToRuns(stalled.Segments));
                Release(asker, stalled.Segments.Contains);
            }

            // A piece may be held only by a node outside the sample: another one takes a place now and then.
            if (_holders.Count > policy.HolderSample && asker.Sample.Count > 0)
            {
                var leaving = asker.Sample.Keys.ElementAt(_random.Next(asker.Sample.Count));
                asker.Forget(leaving);
            }
        }

        Decide(now);
        Reclaim();
    }

    /// <summary>What is to be pushed to whom since the last call.</summary>
    public IEnumerable<(string Node, LookupResponse Push)> TakePushes()
    {
        foreach (var asker in _askers.Values)
        {
            FillSample(asker);
            PushHolders(asker);
            asker.Pending.Checksums.AddRange(_newChecksums.Select(piece => ToMessage(piece, _checksums[piece])));
            if (asker.TakePending() is { } push)
            {
                yield return (asker.Node, push);
            }
        }

        _newChecksums.Clear();
    }

    private static PieceChecksums ToMessage(int piece, ulong[] checksums) => new() { Piece = (uint)piece, Frames = { checksums } };

    private void Decide(TimeSpan now)
    {
        Deal(now);
        foreach (var asker in _askers.Values)
        {
            var state = StateOf();
            if (state != asker.ToldState)
            {
                asker.ToldState = state;
                asker.Pending.State = state;
            }
        }
    }

    private LookupState StateOf()
    {
        if (_askers.Values.Any(asker => asker.CanReachOrigin) || (_layout is null && _granted.Count > 0))
        {
            return LookupState.Available;
        }

        return _layout is { } layout && FirstUncovered(layout, 0) < 0 ? LookupState.Available : LookupState.Unavailable;
    }

    private void Deal(TimeSpan now)
    {
        if (now < _settledAt)
        {
            return;
        }

        if (_layout is not { } layout)
        {
            if (_granted.Count == 0 && NextReader(now, layout: null, segment: 0) is { } prober)
            {
                Add(prober, [0], now);
            }

            return;
        }

        for (var segment = FirstUncovered(layout, 0); segment >= 0; segment = FirstUncovered(layout, segment))
        {
            if (NextReader(now, layout, segment) is not { } reader)
            {
                return;
            }

            var longest = GrantLength(layout);
            var segments = new List<int> { segment };
            while (segments.Count < longest && segment + segments.Count < layout.SegmentCount && !IsCovered(layout, segment + segments.Count))
            {
                segments.Add(segment + segments.Count);
            }

            Add(reader, segments, now);
        }
    }

    private List<int> Uncovered(ContentLayout layout, IEnumerable<SegmentRun> runs)
    {
        var segments = new PieceSet(layout.SegmentCount);
        foreach (var run in runs)
        {
            segments.AddRun(run.First, run.Count);
        }

        return [.. segments.Runs().SelectMany(run => Enumerable.Range(run.First, run.Count)).Where(segment => !IsCovered(layout, segment))];
    }

    /// <summary>All is dealt and somebody has nothing to read: whoever was alone and got everything is asked for what it has not begun.</summary>
    private void Reclaim()
    {
        var able = _askers.Values.Count(asker => asker.CanReachOrigin);
        if (_layout is not { } layout || !_askers.Values.Any(asker => asker.CanReachOrigin && asker.Grants.Count == 0)
            || _askers.Values.Where(asker => asker.Grants.Count > 0).MaxBy(asker => asker.Open) is not { } richest)
        {
            return;
        }

        var open = richest.Grants.SelectMany(grant => grant.Segments).Order().ToList();
        var share = (open.Count / able) + 1;
        if (open.Count > share && open.Count != richest.AskedBackAt && richest.Grants.Exists(grant => grant.Segments.Count > GrantLength(layout)))
        {
            richest.AskedBackAt = open.Count;
            richest.Pending.Reclaimed.AddRange(ToRuns(open.Skip(share)));
        }
    }

    private int GrantLength(ContentLayout layout)
    {
        var readers = _askers.Values.Count(asker => asker.CanReachOrigin);
        return _askers.Count == 1 ? layout.SegmentCount : Math.Clamp(layout.SegmentCount / (4 * Math.Max(1, readers)), 1, policy.LongestGrant);
    }

    private Asker? NextReader(TimeSpan now, ContentLayout? layout, int segment)
    {
        var able = _askers.Values.Where(asker => asker.CanReachOrigin).ToList();
        var unbanned = able.Where(asker => asker.BannedUntil <= now).ToList();
        var reading = _askers.Values.Count(asker => asker.Grants.Count > 0);
        return (unbanned.Count > 0 ? unbanned : able)
            .Where(asker => asker.Grants.Count < policy.GrantsPerAsker && (asker.Grants.Count > 0 || reading < policy.Readers))
            .OrderBy(asker => asker.Expired)
            .ThenBy(asker => asker.Open)
            .ThenBy(asker => asker.GrantedEver)
            .FirstOrDefault();
    }

    private void Add(Asker asker, List<int> segments, TimeSpan now)
    {
        var grant = new Grant(asker, segments) { LastProgress = now };
        asker.Grants.Add(grant);
        asker.GrantedEver += segments.Count;
        foreach (var segment in segments)
        {
            _granted.Add(segment, grant);
        }

        asker.Pending.Granted.AddRange(ToRuns(segments));
        AnnounceReceiving(asker.Node, segments);
    }

    private void Release(Asker asker, Func<int, bool> condition)
    {
        foreach (var grant in asker.Grants.ToList())
        {
            grant.Segments.RemoveAll(segment => condition(segment) && _granted.Remove(segment));
            if (grant.Segments.Count == 0)
            {
                asker.Grants.Remove(grant);
            }
        }
    }

    /// <summary>The one who asked for the size reads on to <see cref="ProtocolConstants.ProbeBytes"/> in the same request.</summary>
    private void ExtendProbe(ContentLayout layout, TimeSpan now)
    {
        foreach (var grant in _granted.Values.ToList())
        {
            for (var segment = 1; segment < layout.SegmentCount && layout.Segment(segment).Offset < ProtocolConstants.ProbeBytes; segment++)
            {
                if (_granted.TryAdd(segment, grant))
                {
                    grant.Segments.Add(segment);
                }
            }

            // Told, too: when its probe breaks or is not needed any more it reads them all the same.
            if (grant.Asker.CanReachOrigin)
            {
                grant.Asker.Pending.Granted.AddRange(ToRuns(grant.Segments.Where(segment => segment < layout.SegmentCount)));
            }

            grant.LastProgress = now;
            AnnounceReceiving(grant.Asker.Node, grant.Segments);
        }

        if (layout.SegmentCount == 0)
        {
            foreach (var asker in _askers.Values)
            {
                Release(asker, static _ => true);
            }
        }
    }

    private void Progress(string node, PieceSet pieces, TimeSpan now)
    {
        if (_layout is not { } layout || !_askers.TryGetValue(node, out var asker))
        {
            return;
        }

        foreach (var grant in asker.Grants)
        {
            if (grant.Segments.Sum(segment => CountHeld(layout, segment, pieces)) > grant.Arrived)
            {
                grant.LastProgress = now;
                asker.Expired = 0;
            }
        }

        Release(asker, segment => HoldsAll(layout, segment, pieces));
        foreach (var grant in asker.Grants)
        {
            // Of what is left of the grant, or the next piece would look like the one before.
            grant.Arrived = grant.Segments.Sum(segment => CountHeld(layout, segment, pieces));
        }
    }

    private void RemoveFromSamples(string node)
    {
        foreach (var asker in _askers.Values)
        {
            asker.Forget(node);
        }
    }

    private int FirstUncovered(ContentLayout layout, int from)
    {
        for (var segment = from; segment < layout.SegmentCount; segment++)
        {
            if (!IsCovered(layout, segment))
            {
                return segment;
            }
        }

        return -1;
    }

    private bool IsCovered(ContentLayout layout, int segment) => _granted.ContainsKey(segment) || HoldsAll(layout, segment, _held!);

    private static bool HoldsAll(ContentLayout layout, int segment, PieceSet pieces)
    {
        var first = segment * layout.PiecesPerSegment;
        var missing = pieces.NextClear(first);
        return missing < 0 || missing >= first + layout.PiecesPerSegment;
    }

    private static int CountHeld(ContentLayout layout, int segment, PieceSet pieces)
    {
        var first = segment * layout.PiecesPerSegment;
        return Enumerable.Range(first, layout.PiecesPerSegment).Count(pieces.Contains);
    }

    private void Recount()
    {
        if (_held is null)
        {
            return;
        }

        _held.Clear();
        foreach (var holder in _holders.Values)
        {
            foreach (var (first, count) in holder.Pieces.Runs())
            {
                _held.AddRun(first, count);
            }
        }
    }

    private void FillSample(Asker asker)
    {
        if (asker.Sample.Count >= policy.HolderSample || _layout is null)
        {
            return;
        }

        var others = _holders.Values.Select(holder => holder.Node)
            .Concat(_granted.Values.Select(grant => grant.Asker.Node))
            .Where(node => node != asker.Node && !asker.Sample.ContainsKey(node))
            .Distinct(StringComparer.Ordinal)
            .ToList();
        while (others.Count > 0 && asker.Sample.Count < policy.HolderSample)
        {
            var index = _random.Next(others.Count);
            var node = others[index];
            others.RemoveAt(index);
            asker.Sample.Add(node, new Told(new PieceSet(_layout.Value.PieceCount)));
            AnnounceReceiving(asker, node, _granted.Where(pair => pair.Value.Asker.Node == node).Select(pair => pair.Key));
        }
    }

    private void PushHolders(Asker asker)
    {
        foreach (var (node, told) in asker.Sample)
        {
            if (!_holders.TryGetValue(node, out var holder) || (told.Complete && holder.Complete))
            {
                continue;
            }

            var shrunk = told.Complete || holder.Pieces.Count < told.Pieces.Count;
            var added = new PieceSet(holder.Pieces.Capacity);
            for (var piece = holder.Pieces.NextSet(0); piece >= 0; piece = holder.Pieces.NextSet(piece + 1))
            {
                if (shrunk || !told.Pieces.Contains(piece))
                {
                    added.Add(piece);
                }
            }

            if (added.Count == 0 && !shrunk && holder.Complete == told.Complete)
            {
                continue;
            }

            asker.Pending.Holders.Add(new Contracts.V1.Holder
            {
                Node = node,
                Complete = holder.Complete,
                Replace = shrunk,
                Pieces = { holder.Complete ? [] : added.ToPieceRuns() },
            });
            told.Pieces = holder.Pieces.Clone();
            told.Complete = holder.Complete;
        }
    }

    private void AnnounceReceiving(string node, IEnumerable<int> segments)
    {
        foreach (var asker in _askers.Values.Where(asker => asker.Node != node && asker.Sample.ContainsKey(node)))
        {
            AnnounceReceiving(asker, node, segments);
        }
    }

    private void AnnounceReceiving(Asker asker, string node, IEnumerable<int> segments)
    {
        if (_layout is { } layout && segments.Any())
        {
            asker.Pending.Holders.Add(new Contracts.V1.Holder
            {
                Node = node,
                Receiving =
                {
                    ToRuns(segments).Select(run => new PieceRun { First = run.First * (uint)layout.PiecesPerSegment, Count = run.Count * (uint)layout.PiecesPerSegment }),
                },
            });
        }
    }

    private void PushAll(Action<LookupResponse> change)
    {
        foreach (var asker in _askers.Values)
        {
            change(asker.Pending);
        }
    }

    private static IEnumerable<SegmentRun> ToRuns(IEnumerable<int> segments)
    {
        SegmentRun? run = null;
        foreach (var segment in segments.Order())
        {
            if (run is not null && run.First + run.Count == segment)
            {
                run.Count++;
                continue;
            }

            if (run is not null)
            {
                yield return run;
            }

            run = new SegmentRun { First = (uint)segment, Count = 1 };
        }

        if (run is not null)
        {
            yield return run;
        }
    }

    private sealed class Asker(string node)
    {
        private LookupResponse _pending = new();

        public string Node { get; } = node;

        public bool CanReachOrigin { get; set; }

        public TimeSpan BannedUntil { get; set; } = TimeSpan.MinValue;

        /// <summary>Leases that it let expire since it last made progress: who has shown that it reads comes before.</summary>
        public int Expired { get; set; }

        public List<Grant> Grants { get; } = [];

        /// <summary>Segments that are granted and have not arrived.</summary>
        public int Open => Grants.Sum(grant => grant.Segments.Count);

        public int GrantedEver { get; set; }

        /// <summary>How many segments it had open when it was last asked to give some back: once is enough for each state.</summary>
        public int AskedBackAt { get; set; }

        public LookupState ToldState { get; set; }

        public SortedDictionary<string, Told> Sample { get; } = new(StringComparer.Ordinal);

        public LookupResponse Pending => _pending;

        /// <summary>The node is not to be asked any more, not even by what has not been pushed yet.</summary>
        public void Forget(string holder)
        {
            if (Sample.Remove(holder))
            {
                for (var i = _pending.Holders.Count - 1; i >= 0; i--)
                {
                    if (_pending.Holders[i].Node == holder)
                    {
                        _pending.Holders.RemoveAt(i);
                    }
                }

                _pending.Gone.Add(holder);
            }
        }

        public LookupResponse? TakePending()
        {
            var pending = _pending;
            if (pending.CalculateSize() == 0)
            {
                return null;
            }

            _pending = new LookupResponse();
            return pending;
        }
    }

    private sealed class Told(PieceSet pieces)
    {
        public PieceSet Pieces { get; set; } = pieces;

        public bool Complete { get; set; }
    }

    private sealed class Holder(string node)
    {
        public string Node { get; } = node;

        public bool Complete { get; set; }

        public PieceSet Pieces { get; set; } = new(0);

        public void Resize(int pieceCount)
        {
            if (Pieces.Capacity != pieceCount)
            {
                Pieces = new PieceSet(pieceCount);
                Complete = false;
            }
        }
    }

    private sealed class Grant(Asker asker, List<int> segments)
    {
        public Asker Asker { get; } = asker;

        public List<int> Segments { get; } = segments;

        public TimeSpan LastProgress { get; set; }

        public int Arrived { get; set; }
    }
}
