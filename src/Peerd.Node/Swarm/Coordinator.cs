using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

namespace Peerd.Node.Swarm;

/// <summary>
/// The owner's side of one content: decides who reads which segment from the origin and who fetches which from whom.
/// Pure: events and time go in, pushes come out; no I/O, no clock, no randomness but the seed's. Not thread-safe.
/// </summary>
/// <param name="policy">Constants.</param>
/// <param name="seed">Of all that is random.</param>
/// <param name="zoneOf">Zone of a node by its name; empty when unknown.</param>
internal sealed class Coordinator(CoordinatorPolicy policy, int seed, Func<string, string>? zoneOf = null)
{
    /// <summary>Segment that is granted to find out the size.</summary>
    private const int Probe = 0;

    private const double WeightOfNews = 0.2;

    /// <summary>Holders that another owner is believed to know.</summary>
    private const int MostHeard = 8192;

    private readonly Dictionary<string, Participant> _participants = new(StringComparer.Ordinal);

    /// <summary>All participants, in no order.</summary>
    private readonly List<Participant> _everybody = [];
    private readonly List<Participant> _askers = [];
    private readonly FirstChecksums _checksums = new(policy);
    private readonly HolderSampler _sampler = new(policy, seed);
    private readonly OriginDealer _dealer = new(policy);
    private readonly HolderTrial _trial = new(policy);
    private readonly FetchPace _pace = new(policy);
    private readonly PeerMatcher _matcher = new(policy, new Random(seed));
    private SegmentTable? _table;

    /// <summary>Who finds out the size, and since when: one, or several when two have failed, which may be all that the others would tell, too.</summary>
    private readonly Dictionary<Participant, TimeSpan> _probers = [];
    private int _failedProbes;
    private string _mediaType = string.Empty;
    private bool _hasBeenAsked;
    private TimeSpan _herdComesUntil = TimeSpan.MinValue;
    private TimeSpan _unsettledUntil = TimeSpan.MinValue;
    private TimeSpan _pausedUntil = TimeSpan.MinValue;
    private TimeSpan _yieldsUntil = TimeSpan.MinValue;
    private TimeSpan _lease = policy.Lease;
    private bool _hasLeaseExpired;

    /// <summary>How long reading a segment from the origin takes; null until one was read.</summary>
    private TimeSpan? _usualReading;

    /// <summary>Segments that were taken from who read them slowly.</summary>
    private int _takenFromSlow;
    private TimeSpan _lastTaken;
    private TimeSpan _askedElsewhereUntil = TimeSpan.MinValue;

    /// <summary>Nobody asks.</summary>
    public bool IsIdle => _askers.Count == 0;

    /// <summary>Size of the content; null as long as nobody knows it.</summary>
    public long? Size => _table?.Layout.Size;

    /// <summary>Who reads which segment from the origin right now.</summary>
    public IEnumerable<KeyValuePair<int, string>> Grants =>
        _table?.Granted.Select(pair => KeyValuePair.Create(pair.Key, pair.Value.Reader.Node))
        ?? _probers.Keys.Select(prober => KeyValuePair.Create(Probe, prober.Node));

    /// <summary>How many grants a node has open.</summary>
    public int CountGrants(string node) => _participants.TryGetValue(node, out var participant) ? participant.Grants.Count : 0;

    /// <summary>Others of its zone do without what can be fetched from it elsewhere: it is neither slow nor banned.</summary>
    public bool CountsInZone(string node) => _participants.TryGetValue(node, out var participant) && participant.CountsInZone;

    /// <summary>Who fetches which segment from whom right now.</summary>
    public IEnumerable<(string To, string From, int Segment)> Fetches =>
        _participants.Values.SelectMany(participant => participant.Fetches.Values).Select(fetch => (fetch.To.Node, fetch.From.Node, fetch.Segment));

    /// <summary>A node asks, or asks again. What it holds must have been told before, by <see cref="HolderChanged"/>.</summary>
    public void Asked(string node, Want want, TimeSpan now)
    {
        var participant = GetOrAdd(node);
        if (participant.Asker is not { } asker)
        {
            // It speaks for itself now: what it does read it is granted anew.
            _table?.ReleaseAll(participant);
            participant.Asker = asker = new Asker();
            _askers.Add(participant);
            if (_table is { } known)
            {
                asker.Pending.Size = known.Layout.Size;
                asker.Pending.MediaType = _mediaType;
            }

            if (_pausedUntil > now)
            {
                asker.Pending.OriginPauseMs = Milliseconds(_pausedUntil - now);
            }
        }

        Pause(want.OriginPauseMs, now);

        // Who comes now may know another way: what it is told, one finds out first.
        _failedProbes = asker.CanReachOrigin || !want.CanReachOrigin ? _failedProbes : 0;
        asker.CanReachOrigin = want.CanReachOrigin;
        asker.IsPaused &= want.CanReachOrigin;
        asker.ToldState = LookupState.Unspecified;
        participant.HeardAt = null;
        if (want.Continued && !_hasBeenAsked)
        {
            _herdComesUntil = now + policy.Settling;
        }

        asker.Wants(want.Wanted);
        _hasBeenAsked = true;
        if (_table is { } table)
        {
            asker.NoteWanted(table.Layout);
            TakeOver(participant, want, table, now);
        }
    }

    /// <summary>A new owner has to find out what another knows, and grants nothing before <see cref="Settled"/> or this moment.</summary>
    public void Settle(TimeSpan until) => _unsettledUntil = until;

    /// <summary>Another owner has told what it knows, or does not answer.</summary>
    public void Settled() => _unsettledUntil = TimeSpan.MinValue;

    /// <summary>What another owner of the content knew when it was asked.</summary>
    public void Heard(LookupResponse known, TimeSpan now)
    {
        // Not for ever: the other one may die without another word.
        _askedElsewhereUntil = known.State == LookupState.Available ? now + policy.HandOver : TimeSpan.MinValue;
        SizeKnown(known.Size > 0 ? known.Size : -1, known.MediaType, now);
        if (_table is not { } table)
        {
            return;
        }

        foreach (var holder in known.Holders.Take(MostHeard))
        {
            var participant = GetOrAdd(holder.Node);
            if (participant.Asker is not null)
            {
                // It speaks for itself.
                continue;
            }

            if ((participant.Pieces is null || participant.HeardAt is not null) && (holder.Complete || holder.Pieces.Count > 0))
            {
                var pieces = participant.Pieces?.Clone() ?? new PieceSet(table.Layout.PieceCount);
                pieces.AddRuns(holder.Complete ? [new PieceRun { Count = (uint)table.Layout.PieceCount }] : holder.Pieces);
                participant.HeardAt = now;
                participant.Pieces = pieces;
                participant.Complete |= holder.Complete;
                table.SetPieces(participant, pieces);
            }

            var reading = new PieceSet(table.Layout.PieceCount);
            reading.AddRuns(holder.Receiving);
            table.ReleaseAll(participant);
            var segments = Enumerable.Range(0, table.Layout.SegmentCount).Where(segment => !table.Covered.Contains(segment) && Intersects(reading, segment, table.Layout)).ToList();
            if (segments.Count > 0)
            {
                table.AddGrant(participant, segments, now).IsHeard = true;
            }
        }

        ReclaimHeld(table);
    }

    /// <summary>
    /// Another owner deals: this one deals nothing for a while, or both would deal the same, except to who has got nothing
    /// for as long.
    /// </summary>
    public void Yield(TimeSpan now) => _yieldsUntil = now + policy.HandOver;

    /// <summary>Another owner deals.</summary>
    public bool Yields(TimeSpan now) => now < _yieldsUntil;

    /// <summary>What this owner knows, for another that asks.</summary>
    public LookupResponse Tell()
    {
        var told = new LookupResponse { Size = Size ?? 0, MediaType = _mediaType, State = _askers.Count > 0 ? LookupState.Available : LookupState.Unavailable };
        var runs = 0;

        // First-hand only, or two owners would tell each other for ever what has long ended; readers first.
        var telling = _participants.Values.Where(participant => (participant.Pieces is not null && participant.HeardAt is null) || participant.Grants.Exists(grant => !grant.IsHeard));
        foreach (var participant in telling.OrderBy(participant => participant.Grants.Count == 0))
        {
            if (runs > policy.RunsTold)
            {
                break;
            }

            var isPieceTold = participant.HeardAt is null;
            var holder = new Holder { Node = participant.Node, Complete = participant.Complete && isPieceTold };
            if (isPieceTold && participant is { Complete: false, Pieces: { } pieces })
            {
                holder.Pieces.AddRange(pieces.ToPieceRuns());
            }

            if (_table is { } table)
            {
                foreach (var run in SegmentRuns.Of(participant.Grants.Where(grant => !grant.IsHeard).SelectMany(grant => grant.Segments)))
                {
                    holder.Receiving.Add(new PieceRun { First = run.First * (uint)table.Layout.PiecesPerSegment, Count = run.Count * (uint)table.Layout.PiecesPerSegment });
                }
            }

            runs += 1 + holder.Pieces.Count + holder.Receiving.Count;
            told.Holders.Add(holder);
        }

        return told;
    }

    /// <summary>A node does not ask any more: it reads and fetches nothing from now on, or goes on with another owner.</summary>
    /// <param name="node">Name of the node.</param>
    /// <param name="now">The time.</param>
    /// <param name="isMoving">It reads on what it was granted, as another owner's: granted to somebody else it would be read twice.</param>
    public void Left(string node, TimeSpan now, bool isMoving = false)
    {
        if (!_participants.TryGetValue(node, out var participant) || participant.Asker is null)
        {
            return;
        }

        participant.Asker = null;
        _askers.Remove(participant);
        _probers.Remove(participant);
        if (_table is { } table)
        {
            if (isMoving)
            {
                // Nobody tells of its progress here: what has not come to anybody's knowledge by the end of the lease is dealt again.
                participant.Grants.ForEach(grant => (grant.IsHeard, grant.LastProgress) = (true, now));
            }
            else
            {
                table.ReleaseAll(participant);
            }

            foreach (var fetch in participant.Fetches.Values.ToList())
            {
                table.End(fetch);
            }
        }

        RemoveIfUseless(participant);
    }

    /// <summary>Somebody knows the size. The first word counts.</summary>
    /// <param name="size">Bytes of the content; negative when only the type is known.</param>
    /// <param name="mediaType">Its type; empty when unknown.</param>
    /// <param name="now">The time.</param>
    /// <param name="teller">The node that found it out; null when it came from elsewhere.</param>
    public void SizeKnown(long size, string mediaType, TimeSpan now, string? teller = null)
    {
        if (_mediaType.Length == 0 && mediaType.Length is > 0 and <= ProtocolConstants.MaxMediaType)
        {
            _mediaType = mediaType;
            _askers.ForEach(asker => asker.Asker!.Pending.MediaType = mediaType);
        }

        if (_table is not null || size is < 0 or > HolderDirectory.MaxSize)
        {
            return;
        }

        var table = new SegmentTable(policy, new ContentLayout(size));
        _table = table;
        foreach (var participant in _participants.Values)
        {
            table.Enter(participant);
            if (participant.Pieces is { } pieces)
            {
                // It may have told another size before.
                participant.Pieces = pieces.Capacity == table.Layout.PieceCount ? pieces : null;
                participant.Complete &= participant.Pieces is not null;
                table.SetPieces(participant, participant.Pieces ?? new PieceSet(table.Layout.PieceCount));
            }
        }

        foreach (var participant in _askers)
        {
            participant.Asker!.StarvingSince = null;
            participant.Asker.Pending.Size = size;
            participant.Asker.NoteWanted(table.Layout);
        }

        EndProbes(table, teller, now);
    }

    /// <summary>What a node holds now, as the directory has it; null when it holds nothing any more.</summary>
    public void HolderChanged(string node, bool complete, PieceSet? pieces, TimeSpan now)
    {
        if (pieces is null)
        {
            if (_participants.TryGetValue(node, out var gone) && gone.Pieces is not null)
            {
                gone.Pieces = null;
                gone.Complete = false;
                _table?.SetPieces(gone, new PieceSet(_table.Layout.PieceCount));
                _askers.ForEach(asker => asker.Asker!.Forget(node));
                RemoveIfUseless(gone);
            }

            return;
        }

        if (_table is { } table)
        {
            if (pieces.Capacity == table.Layout.PieceCount)
            {
                var participant = GetOrAdd(node);
                participant.HeardAt = null;
                participant.Pieces = pieces;
                participant.Complete = complete;
                NoteProgress(participant, pieces, table, now);
                table.SetPieces(participant, pieces);
                foreach (var grant in participant.Grants)
                {
                    // Of what is left of the grant, or the next piece would look like the one before.
                    grant.Arrived = grant.Segments.Sum(segment => table.CountHeld(pieces, segment));
                }
            }

            return;
        }

        var early = GetOrAdd(node);
        early.Pieces = pieces;
        early.Complete = complete;
    }

    /// <summary>
    /// Checksums as the first reader of a piece told them. Later words do not count, nor those of who was not granted the piece: false.
    /// </summary>
    public bool ChecksumsKnown(string node, int piece, ulong[] checksums) =>
        _table is { Layout: var layout } && piece >= 0 && piece < layout.PieceCount && checksums.Length == layout.FramesIn(piece)
        && TryGetAsker(node, out _, out var reader) && reader.Granted?.Contains(piece / layout.PiecesPerSegment) == true && _checksums.Add(piece, checksums);

    /// <summary>Some bytes are wrong: the checksums that the first readers told may be of those.</summary>
    public void ChecksumsInDoubt() => _checksums.Clear(_askers);

    /// <summary>
    /// A report of an asker. What has arrived must have been told before, by <see cref="HolderChanged"/>; checksums by
    /// <see cref="ChecksumsKnown"/>.
    /// </summary>
    public void Reported(string node, GrantReport report, TimeSpan now)
    {
        if (!TryGetAsker(node, out var participant, out var asker))
        {
            return;
        }

        if (report.Reading.Count > 0 && _table is { } table)
        {
            var reading = SegmentRuns.ToSet(report.Reading, table.Layout);
            foreach (var grant in participant.Grants.Where(grant => grant.Segments.Exists(reading.Contains)))
            {
                grant.LastProgress = now;
            }
        }

        GiveBack(participant, report);
        Pause(report.OriginPauseMs, now);
        if (report.OriginFailed)
        {
            asker.CanReachOrigin = false;
            asker.IsPaused = report.OriginPauseMs > 0;
        }

        foreach (var failed in report.Failed)
        {
            Failed(participant, asker, failed, now);
        }
    }

    /// <summary>Time passes: stalled grants are dealt again, bans end.</summary>
    public void Tick(TimeSpan now)
    {
        foreach (var participant in _everybody.ToList())
        {
            if (participant.IsBanned && participant.BannedUntil <= now)
            {
                _table?.SetBanned(participant, isBanned: false);
                participant.Service.Forget();
            }

            if (participant.HeardAt is { } heard && now - heard > policy.Hearsay)
            {
                _table?.Leave(participant);
                participant.Pieces = null;
                participant.HeardAt = null;
                _askers.ForEach(asker => asker.Asker!.Forget(participant.Node));
            }
            else
            {
                EndStalledGrants(participant, now);
            }

            if (participant.Serving.Count == 0)
            {
                // One that an asker fetches from, as it says, may still announce itself.
                RemoveIfUseless(participant);
            }
        }

        _lease = _hasLeaseExpired ? Doubled(_lease, 1, policy.LongestLease) : _lease;
        _hasLeaseExpired = false;

        if (_askers.Count > 1)
        {
            foreach (var (silent, _) in _probers.Where(prober => now - prober.Value > 2 * policy.Lease).ToList())
            {
                Revoke(silent, [Probe], now);
                _probers.Remove(silent);
            }
        }

        if (_pausedUntil <= now)
        {
            foreach (var asker in _askers.Where(asker => asker.Asker!.IsPaused))
            {
                asker.Asker!.IsPaused = false;
                asker.Asker.CanReachOrigin = true;
            }
        }
    }

    /// <summary>Decides what can be decided now and returns what is to be pushed to whom since the last call.</summary>
    public IEnumerable<(string Node, LookupResponse Push)> TakePushes(TimeSpan now)
    {
        if (_table is { } known)
        {
            _trial.Look(_everybody, known, isOriginPaused: now < _pausedUntil, now);
            _pace.Look(_askers, _everybody, known, now);
        }

        if (now >= _herdComesUntil && now >= _unsettledUntil && now >= _pausedUntil)
        {
            Deal(Yields(now) ? _askers.FindAll(asker => now - asker.Asker!.StarvingSince >= policy.HandOver) : _askers, now);
        }

        if (_table is { } table)
        {
            _matcher.Match(_askers, _everybody, table, now, fetch => fetch.To.Asker!.Assign(fetch.From.Node, fetch.Segment));
        }
        else
        {
            _askers.ForEach(asker => asker.Asker!.StarvingSince = _probers.ContainsKey(asker) ? null : asker.Asker.StarvingSince ?? now);
        }

        var state = StateOf();
        foreach (var participant in _askers)
        {
            var asker = participant.Asker!;
            if (asker.ToldState != state)
            {
                asker.ToldState = state;
                asker.Pending.State = state;
            }

            _sampler.Tell(participant, _participants, _everybody, _table, now);
            _checksums.Tell(asker, now);
            if (asker.HasPending)
            {
                asker.LastPush = now;
                yield return (participant.Node, asker.TakePending());
            }
        }
    }

    private Participant GetOrAdd(string node)
    {
        if (!_participants.TryGetValue(node, out var participant))
        {
            _participants.Add(node, participant = new Participant(node, zoneOf?.Invoke(node) ?? string.Empty));
            _everybody.Add(participant);
            _table?.Enter(participant);
        }

        return participant;
    }

    private bool TryGetAsker(string node, [NotNullWhen(true)] out Participant? participant, [NotNullWhen(true)] out Asker? asker)
    {
        asker = _participants.TryGetValue(node, out participant) ? participant.Asker : null;
        return asker is not null;
    }

    private void RemoveIfUseless(Participant participant)
    {
        if (participant is { Asker: null, Pieces: null, Grants.Count: 0 })
        {
            _table?.Leave(participant);
            _participants.Remove(participant.Node);
            _everybody.Remove(participant);
            _askers.ForEach(other => other.Asker!.Avoided.Remove(participant.Node));
        }
    }

    private static bool Intersects(PieceSet pieces, int segment, ContentLayout layout)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, layout);
        var next = pieces.NextSet(first);
        return next >= 0 && next < end;
    }

    /// <summary>What the asker is doing already, as an owner before this one told it.</summary>
    private void TakeOver(Participant participant, Want want, SegmentTable table, TimeSpan now)
    {
        var reading = SegmentRuns.ToSet(want.Reading, table.Layout);
        if (want.Continued)
        {
            // What was only heard of it does not count against its own word; what it does read it is granted anew.
            table.ReleaseAll(participant);
        }

        var uncovered = SegmentRuns.Numbers(reading).Where(segment => !table.Covered.Contains(segment) && !participant.Available.Contains(segment)).ToList();
        if (uncovered.Count > 0 && want.CanReachOrigin)
        {
            Grant(participant, uncovered, now);
        }

        foreach (var assignment in want.Fetching.Where(assignment => assignment.Node != participant.Node))
        {
            foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(assignment.Segments, table.Layout)).Where(segment => !participant.Available.Contains(segment)))
            {
                if (participant.Fetches.Count >= policy.MostCredits(table.Layout))
                {
                    // More was never assigned; so many may have been before fewer were.
                    return;
                }

                if (!participant.Fetches.ContainsKey(segment) && GetOrAdd(assignment.Node) is var holder && !holder.WaitsFor(participant, segment))
                {
                    table.Begin(participant, holder, segment, isInOrder: false);
                }
            }
        }
    }

    private void Deal(List<Participant> askers, TimeSpan now)
    {
        if (_table is { } table)
        {
            // Who wants nothing now reads nothing for others either.
            if (_askers.Exists(asker => asker.WantsNothing) && askers.FindAll(asker => !asker.WantsNothing) is { Count: > 0 } wanting)
            {
                askers = wanting;
            }

            var isAlone = askers.Count == 1 && _askers.TrueForAll(asker => asker == askers[0] || asker.WantsNothing) && now >= _askedElsewhereUntil;
            _dealer.Deal(askers, _everybody, table, isAlone, now, (reader, segments) => Grant(reader, segments, now));
            if (!isAlone && _dealer.ChooseRichest(askers, table) is { } richest)
            {
                richest.Asker!.AskedBackAt = OriginDealer.Open(richest);
                richest.Asker.Pending.Reclaimed.AddRange(SegmentRuns.Of(richest.Grants.SelectMany(grant => grant.Segments)));
            }
        }
        else
        {
            DealProbes(askers, now);
        }
    }

    /// <summary>One is enough when all is well. What nobody has all must have asked for: one after the other would take too long.</summary>
    private void DealProbes(List<Participant> askers, TimeSpan now)
    {
        // The first may only have lacked a token: of several each would read a small content whole.
        var most = _failedProbes > 1 ? policy.Readers : 1;
        while (_probers.Count < most && _dealer.ChooseProber(askers.FindAll(asker => !_probers.ContainsKey(asker)), now) is { } prober)
        {
            _probers.Add(prober, now);
            prober.Asker!.GrantedEver++;
            prober.Asker.Pending.Granted.Add(new SegmentRun { First = Probe, Count = 1 });
        }
    }

    /// <summary>The size is known: one of those who asked for it reads on.</summary>
    private void EndProbes(SegmentTable table, string? teller, TimeSpan now)
    {
        var reader = _probers.Keys.FirstOrDefault(prober => prober.Node == teller) ?? _probers.Keys.FirstOrDefault();
        foreach (var prober in _probers.Keys.Where(prober => prober != reader))
        {
            prober.Asker!.Pending.Revoked.Add(new SegmentRun { First = Probe, Count = 1 });
        }

        _probers.Clear();
        if (reader is not null)
        {
            ExtendProbe(reader, table, now);
        }
    }

    private void Grant(Participant reader, List<int> segments, TimeSpan now)
    {
        _table!.AddGrant(reader, segments, now).Arrived = reader.Pieces is { } pieces ? segments.Sum(segment => _table.CountHeld(pieces, segment)) : 0;
        reader.Asker!.GrantedEver += segments.Count;
        NoteGranted(reader.Asker, _table, segments);
        reader.Asker.Pending.Granted.AddRange(SegmentRuns.Of(segments));
    }

    private static void NoteGranted(Asker reader, SegmentTable table, List<int> segments)
    {
        reader.Granted ??= new PieceSet(table.Layout.SegmentCount);
        segments.ForEach(segment => reader.Granted.Add(segment));
    }

    /// <summary>The one who asked for the size reads on to <see cref="ProtocolConstants.ProbeBytes"/> in the same request.</summary>
    private static void ExtendProbe(Participant prober, SegmentTable table, TimeSpan now)
    {
        var segments = new List<int>();
        for (var segment = 0; segment < table.Layout.SegmentCount && table.Layout.Segment(segment).Offset < ProtocolConstants.ProbeBytes; segment++)
        {
            if (!table.Covered.Contains(segment))
            {
                segments.Add(segment);
            }
        }

        if (segments.Count > 0)
        {
            table.AddGrant(prober, segments, now);
            NoteGranted(prober.Asker!, table, segments);
            if (prober.Asker!.CanReachOrigin)
            {
                // Told, too: when its probe breaks or is not needed any more it reads them all the same.
                prober.Asker.Pending.Granted.AddRange(SegmentRuns.Of(segments));
            }
        }
    }

    /// <summary>An owner that was asked before it had heard of the others has granted what they hold: what was not begun is fetched from them.</summary>
    private void ReclaimHeld(SegmentTable table)
    {
        if (policy.AreFew(_everybody) && _everybody.Exists(participant => participant.IsFoundSlow))
        {
            // What only such a one holds is granted all the same, where a few ask.
            return;
        }

        foreach (var asker in _askers)
        {
            var held = asker.Grants.SelectMany(grant => grant.Segments).Where(segment => table.IsHeldByOthers(asker, segment)).ToList();
            if (held.Count > 0)
            {
                asker.Asker!.Pending.Reclaimed.AddRange(SegmentRuns.Of(held));
            }
        }
    }

    private void GiveBack(Participant participant, GrantReport report)
    {
        if (_table is not { } table)
        {
            if (report.GivenBack.Any(run => run.First == Probe) && _probers.Remove(participant))
            {
                // Who is told to pause is not told that there is nothing.
                _failedProbes += report.OriginFailed && report.OriginPauseMs == 0 ? 1 : 0;
            }

            return;
        }

        if (report.GivenBack.Count == 0)
        {
            return;
        }

        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(report.GivenBack, table.Layout)))
        {
            table.Release(participant, segment);
        }
    }

    private void Pause(uint milliseconds, TimeSpan now)
    {
        var length = TimeSpan.FromMilliseconds(milliseconds);
        var until = now + (length < policy.LongestOriginPause ? length : policy.LongestOriginPause);
        if (milliseconds > 0 && until > _pausedUntil)
        {
            _pausedUntil = until;
            _askers.ForEach(asker => asker.Asker!.Pending.OriginPauseMs = Milliseconds(until - now));
        }
    }

    private static uint Milliseconds(TimeSpan time) => (uint)Math.Max(1, time.TotalMilliseconds);

    private void Failed(Participant participant, Asker asker, FailedFetch failed, TimeSpan now)
    {
        if (failed.Segment > int.MaxValue || !participant.Fetches.TryGetValue((int)failed.Segment, out var fetch) || fetch.From.Node != failed.Node)
        {
            // Of something that was taken back meanwhile.
            return;
        }

        var table = _table!;
        table.End(fetch);
        asker.LastFailed[fetch.Segment] = failed.Node;
        if (failed.Reason is not (FetchFailure.Slow or FetchFailure.Starved) && asker.NotBefore <= now)
        {
            // Failures that come at once must not go round and round. What fails during the pause was under way before it: when holders
            // die all that was fetched from them fails together, and counts once.
            asker.NotBefore = now + Doubled(policy.FirstFailurePause, asker.Failures++, policy.LongestFailurePause);
        }

        var holder = fetch.From;
        switch (failed.Reason)
        {
            case FetchFailure.Busy:
                holder.Tokens = Math.Max(1, holder.Serving.Count);
                table.Judged(holder);
                holder.NotBefore = holder.Serving.Count == 0 ? now + policy.BusyPause : holder.NotBefore;
                break;
            case FetchFailure.NotHeld:
                table.Lose(holder, fetch.Segment);
                if (holder.Complete && ++holder.Denials >= policy.DenialsToComplain)
                {
                    // Lost just now it would have told so by the next.
                    Complain(holder, participant, now);
                }

                break;
            case FetchFailure.Slow:
                ReportedSlow(holder, participant, now);
                break;
            case FetchFailure.Unreachable or FetchFailure.Corrupt:
                Complain(holder, participant, now);
                break;
        }
    }

    private void ReportedSlow(Participant holder, Participant complainer, TimeSpan now)
    {
        var areFew = policy.AreFew(_askers);
        var bringsLess = areFew ? null : _trial.BringsLess(holder, _everybody, _table!);
        if (bringsLess == false)
        {
            Avoid(holder, complainer, now);
            return;
        }

        if (!areFew && bringsLess is null && (complainer.WasReading || complainer.Grants.Count > 0))
        {
            // It may be the link of the complainer: what it reads from the origin, or has read until this report, may have taken that.
            return;
        }

        holder.HasBeenSlow = true;
        holder.Tokens = Math.Max(1, holder.Tokens / 2);
        _table!.Judged(holder);
        if (areFew || holder.Tokens > 1)
        {
            // A few are no judges of each other: see HolderTrial.
            return;
        }

        if (holder.LastBan == TimeSpan.Zero)
        {
            // Machines have bad moments: at first it is only left alone.
            holder.LastBan = policy.FirstBan;
            holder.NotBefore = now + policy.FirstBan;
        }
        else if (holder.NotBefore <= now)
        {
            // Or what only it holds would come one segment after the other.
            Complain(holder, complainer, now);
        }
    }

    /// <summary>
    /// To others the holder is not slow, as far as is known: it is the path between both. All that the complainer may fetch would
    /// gather there in the end, because the place that is free is mostly the one that it has just left; and the holder would serve
    /// nobody else. When another says the same the holder may have become slow, which shows only as long as it serves many.
    /// </summary>
    private void Avoid(Participant holder, Participant complainer, TimeSpan now)
    {
        var others = _askers.FindAll(other => other != complainer && other.Asker!.Avoids(holder.Node, now));
        others.ForEach(other => other.Asker!.Avoided.Remove(holder.Node));
        if (others.Count == 0)
        {
            complainer.Asker!.Avoid(holder.Node, now + policy.FirstBan, now);
        }
    }

    /// <summary>One alone may be the one that is cut off: it takes two, or all that there are, to ban a holder.</summary>
    private void Complain(Participant holder, Participant complainer, TimeSpan now)
    {
        if (holder.IsBanned)
        {
            // Of what was under way already: nothing that a ban after this one could be founded on.
            return;
        }

        holder.Complainers.Add(complainer.Node);
        if (holder.Complainers.Count >= Math.Min(2, _askers.Count(other => other != holder)))
        {
            Ban(holder, now);
        }
    }

    private void Ban(Participant participant, TimeSpan now)
    {
        participant.LastBan = participant.LastBan == TimeSpan.Zero ? policy.FirstBan : Doubled(participant.LastBan, 1, policy.LongestBan);
        participant.BannedUntil = now + participant.LastBan;
        participant.Complainers.Clear();
        _table!.SetBanned(participant, isBanned: true);
    }

    private static TimeSpan Doubled(TimeSpan first, int times, TimeSpan longest)
    {
        var doubled = first * Math.Pow(2, Math.Min(10, times));
        return doubled < longest ? doubled : longest;
    }

    private void EndStalledGrants(Participant participant, TimeSpan now)
    {
        // Who is the only one that could read goes on: it has its own patience with the origin.
        if (participant.Grants.Count == 0 || (participant.Asker is not null && !_askers.Exists(other => other != participant && other.Asker!.CanReachOrigin && !other.WantsNothing)))
        {
            return;
        }

        foreach (var stalled in participant.Grants.Where(grant => now - grant.LastProgress > _lease).ToList())
        {
            var segments = stalled.Segments.ToList();
            if (participant.Asker is { } asker && participant.Wants(stalled))
            {
                // An origin that lets everybody wait is not made quicker by asking it again and again.
                _hasLeaseExpired = true;
                asker.Expired++;
                asker.NoGrantsUntil = now + policy.LongestBan;
            }

            Revoke(participant, segments, now);
        }

        EndSlowGrants(participant, now);
    }

    /// <summary>Who has a thin link reads on as long as bytes arrive, and all others wait for what it reads.</summary>
    private void EndSlowGrants(Participant participant, TimeSpan now)
    {
        if (_table is not { } table || _usualReading is not { } usual || participant.Grants.Count == 0)
        {
            return;
        }

        var least = policy.LeastHeld(_askers, table.Layout);
        var patience = policy.SlowReading * usual;
        if (!participant.IsBehind(least) || !_askers.Exists(other => other.Asker is { CanReachOrigin: true, Wanted: null, Expired: 0 } && !other.IsBehind(least)))
        {
            return;
        }

        foreach (var slow in participant.Grants.Where(grant => now - grant.SegmentSince > (patience > policy.ReadingPatience ? patience : policy.ReadingPatience)).ToList())
        {
            _takenFromSlow = now - _lastTaken > policy.TakenFromSlowMemory ? 0 : _takenFromSlow;
            if (_takenFromSlow >= policy.MostTakenFromSlow(_askers))
            {
                // Where so many are slow it is the origin, or a machine that they share: what is read twice makes that worse.
                return;
            }

            _takenFromSlow += slow.Segments.Count;
            _lastTaken = now;
            NoteReading(now - slow.SegmentSince);
            participant.Asker!.NoGrantsUntil = now + policy.LongestBan;
            Revoke(participant, [.. slow.Segments], now);
        }
    }

    private void Revoke(Participant reader, List<int> segments, TimeSpan now)
    {
        reader.Asker?.Pending.Revoked.AddRange(SegmentRuns.Of(segments));
        foreach (var segment in segments)
        {
            _table?.Release(reader, segment);
            EndFetchesBehind(reader, segment);
        }
    }

    /// <summary>Who was to get the segment from a reader that reads it no more, or from one of those, gets it elsewhere.</summary>
    private void EndFetchesBehind(Participant reader, int segment)
    {
        foreach (var fetch in reader.Serving.Where(fetch => fetch.Segment == segment).ToList())
        {
            _table!.End(fetch);
            EndFetchesBehind(fetch.To, segment);
        }
    }

    private void NoteProgress(Participant participant, PieceSet pieces, SegmentTable table, TimeSpan now)
    {
        foreach (var grant in participant.Grants)
        {
            var read = grant.Segments.Count(segment => table.HoldsAll(pieces, segment));
            if (read > 0)
            {
                NoteReading((now - grant.SegmentSince) / read);
                grant.SegmentSince = now;
            }

            if (grant.Segments.Sum(segment => table.CountHeld(pieces, segment)) > grant.Arrived)
            {
                grant.LastProgress = now;
                if (participant.Asker is { } asker)
                {
                    asker.Expired = 0;
                }
            }
        }
    }

    /// <summary>Reading a segment took so long, or would have taken longer.</summary>
    private void NoteReading(TimeSpan each) => _usualReading = _usualReading is { } usual ? usual + ((each - usual) * WeightOfNews) : each;

    private LookupState StateOf()
    {
        // Who waits for the end of a pause will be granted something by then.
        if (_askers.Exists(asker => asker.Asker!.CanReachOrigin || asker.Asker.IsPaused) || _probers.Count > 0)
        {
            return LookupState.Available;
        }

        return _table is { Covered.IsFull: true } ? LookupState.Available : LookupState.Unavailable;
    }
}
