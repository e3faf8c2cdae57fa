using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;

namespace Peerd.Node.Swarm;

/// <summary>
/// The owner's side of one content: decides who reads which segment from the origin and who fetches which from whom.
/// Pure: events and time go in, pushes come out; no I/O, no clock, no randomness but the seed's. Not thread-safe.
/// </summary>
internal sealed class Coordinator
{
    private readonly CoordinatorPolicy _policy;
    private readonly Func<string, string>? _zoneOf;
    private readonly Dictionary<string, Participant> _participants = new(StringComparer.Ordinal);

    /// <summary>All participants, in no order.</summary>
    private readonly List<Participant> _everybody = [];
    private readonly List<Participant> _askers = [];
    private readonly FirstChecksums _checksums;
    private readonly HolderSampler _sampler;
    private readonly OriginDealer _dealer;
    private readonly HolderTrial _trial;
    private readonly FetchPace _pace;
    private readonly PeerMatcher _matcher;
    private readonly SizeProbes _probes;
    private readonly GrantLeases _leases;
    private readonly Complaints _complaints;
    private readonly Hearsay _hearsay;
    private SegmentTable? _table;
    private string _mediaType = string.Empty;
    private bool _hasBeenAsked;
    private TimeSpan _herdComesUntil = TimeSpan.MinValue;
    private TimeSpan _unsettledUntil = TimeSpan.MinValue;
    private TimeSpan _pausedUntil = TimeSpan.MinValue;
    private TimeSpan _yieldsUntil = TimeSpan.MinValue;
    private TimeSpan _askedElsewhereUntil = TimeSpan.MinValue;

    /// <param name="policy">Constants.</param>
    /// <param name="seed">Of all that is random.</param>
    /// <param name="zoneOf">Zone of a node by its name; empty when unknown.</param>
    public Coordinator(CoordinatorPolicy policy, int seed, Func<string, string>? zoneOf = null)
    {
        _policy = policy;
        _zoneOf = zoneOf;
        _checksums = new FirstChecksums(policy);
        _sampler = new HolderSampler(policy, seed);
        _dealer = new OriginDealer(policy);
        _trial = new HolderTrial(policy);
        _pace = new FetchPace(policy);
        _matcher = new PeerMatcher(policy, new Random(seed));
        _probes = new SizeProbes(policy);
        _leases = new GrantLeases(policy, _askers);
        _complaints = new Complaints(policy, _trial, _askers, _everybody);
        _hearsay = new Hearsay(policy);
    }

    /// <summary>Nobody asks.</summary>
    public bool IsIdle => _askers.Count == 0;

    /// <summary>Size of the content; null as long as nobody knows it.</summary>
    public long? Size => _table?.Layout.Size;

    /// <summary>How many ask, hold something, or are said to.</summary>
    public int Participants => _everybody.Count;

    /// <summary>The node asks, holds something, or is said to.</summary>
    public bool Knows(string node) => _participants.ContainsKey(node);

    /// <summary>Who reads which segment from the origin right now.</summary>
    public IEnumerable<KeyValuePair<int, string>> Grants =>
        _table?.Granted.Select(pair => KeyValuePair.Create(pair.Key, pair.Value.Reader.Node))
        ?? _probes.Probers.Select(prober => KeyValuePair.Create(SizeProbes.Segment, prober.Node));

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
        if (!asker.CanReachOrigin && want.CanReachOrigin)
        {
            _probes.ForgetFailures();
        }

        asker.CanReachOrigin = want.CanReachOrigin;
        asker.IsPaused &= want.CanReachOrigin;
        asker.ToldState = LookupState.Unspecified;
        participant.HeardAt = null;
        if (want.Continued && !_hasBeenAsked)
        {
            _herdComesUntil = now + _policy.Settling;
        }

        asker.Wants(want.Wanted);
        _hasBeenAsked = true;
        if (_table is { } table)
        {
            asker.NoteWanted(table.Layout);
            TakeOver(participant, want, table, now);
        }
        else if (want.Reading.Any(static run => run.First == SizeProbes.Segment))
        {
            _probes.Continue(participant, now);
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
        _askedElsewhereUntil = known.State == LookupState.Available ? now + _policy.HandOver : TimeSpan.MinValue;
        SizeKnown(known.Size > 0 ? known.Size : -1, known.MediaType, now);
        if (_table is not { } table)
        {
            if (known.Holders.Any(static holder => holder.Receiving.Count > 0))
            {
                _probes.FoundElsewhere(now);
            }

            return;
        }

        if (known.Size > 0)
        {
            _probes.ToldElsewhere();
        }

        foreach (var holder in known.Holders.Take(Hearsay.MostHeard))
        {
            Hearsay.Hear(GetOrAdd(holder.Node), holder, table, now);
        }

        ReclaimHeld(table);
    }

    /// <summary>
    /// Another owner deals: this one deals nothing for a while, or both would deal the same, except to who has got nothing
    /// for as long.
    /// </summary>
    public void Yield(TimeSpan now) => _yieldsUntil = now + _policy.HandOver;

    /// <summary>Another owner deals.</summary>
    public bool Yields(TimeSpan now) => now < _yieldsUntil;

    /// <summary>What this owner knows, for another that asks.</summary>
    public LookupResponse Tell() => new()
    {
        Size = Size ?? 0,
        MediaType = _mediaType,
        State = _askers.Count > 0 ? LookupState.Available : LookupState.Unavailable,
        Holders = { _hearsay.Tell(_participants.Values, _table?.Layout), _probes.Tell() },
    };

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
        _probes.Left(participant, isMoving, now);
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
        if (_mediaType.Length == 0 && ContentMediaType.Of(mediaType) is { } usable)
        {
            _mediaType = usable;
            _askers.ForEach(asker => asker.Asker!.Pending.MediaType = usable);
        }

        if (_table is not null || size is < 0 or > HolderDirectory.MaxSize)
        {
            return;
        }

        var table = new SegmentTable(_policy, new ContentLayout(size));
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

        if (_probes.End(teller) is { } reader)
        {
            ExtendProbe(reader, table, now);
        }
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
                _leases.Arrived(participant, pieces, table, now);
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
            GrantLeases.Renew(participant, report.Reading, table, now);
        }

        GiveBack(participant, report);
        Pause(report.OriginPauseMs, now);
        if (report.OriginFailed)
        {
            asker.CanReachOrigin = false;
            asker.IsPaused = report.OriginPauseMs > 0;
        }

        if (_table is { } known)
        {
            foreach (var failed in report.Failed)
            {
                _complaints.Take(participant, failed, known, now);
            }
        }
    }

    /// <summary>Time passes: stalled grants are dealt again, bans end.</summary>
    public void Tick(TimeSpan now)
    {
        foreach (var participant in _everybody.ToList())
        {
            if (_table is { } table)
            {
                Complaints.EndBan(participant, table, now);
            }

            if (participant.HeardAt is { } heard && now - heard > _policy.Hearsay)
            {
                _table?.Leave(participant);
                participant.Pieces = null;
                participant.HeardAt = null;
                _askers.ForEach(asker => asker.Asker!.Forget(participant.Node));
            }
            else if (_table is { } known)
            {
                _leases.End(participant, known, now);
            }

            if (participant.Serving.Count == 0)
            {
                // One that an asker fetches from, as it says, may still announce itself.
                RemoveIfUseless(participant);
            }
        }

        _leases.Lengthen();
        if (_askers.Count > 1)
        {
            _probes.EndSilent(now);
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

        if (now >= _herdComesUntil && now >= _unsettledUntil && now >= _pausedUntil && !_probes.IsFoundElsewhere(now))
        {
            Deal(Yields(now) ? _askers.FindAll(asker => now - asker.Asker!.StarvingSince >= _policy.HandOver) : _askers, now);
        }

        if (_table is { } table)
        {
            _matcher.Match(_askers, _everybody, table, now, fetch => fetch.To.Asker!.Assign(fetch.From.Node, fetch.Segment));
        }
        else
        {
            _askers.ForEach(asker => asker.Asker!.StarvingSince = _probes.Contains(asker) ? null : asker.Asker.StarvingSince ?? now);
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
            _participants.Add(node, participant = new Participant(node, _zoneOf?.Invoke(node) ?? string.Empty));
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
                if (participant.Fetches.Count >= _policy.MostCredits(table.Layout))
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
            _probes.Deal(askers, _dealer, now);
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
        if (_policy.AreFew(_everybody) && _everybody.Exists(participant => participant.IsFoundSlow))
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
            _probes.Reported(participant, report);
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
        var until = now + (length < _policy.LongestOriginPause ? length : _policy.LongestOriginPause);
        if (milliseconds > 0 && until > _pausedUntil)
        {
            _pausedUntil = until;
            _askers.ForEach(asker => asker.Asker!.Pending.OriginPauseMs = Milliseconds(until - now));
        }
    }

    private static uint Milliseconds(TimeSpan time) => (uint)Math.Max(1, time.TotalMilliseconds);

    private LookupState StateOf()
    {
        // Who waits for the end of a pause will be granted something by then.
        if (_askers.Exists(asker => asker.Asker!.CanReachOrigin || asker.Asker.IsPaused) || _probes.Probers.Count > 0)
        {
            return LookupState.Available;
        }

        return _table is { Covered.IsFull: true } ? LookupState.Available : LookupState.Unavailable;
    }
}
