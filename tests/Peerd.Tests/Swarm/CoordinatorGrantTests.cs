using CsCheck;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>Any sequence of events: what the nodes believe to be granted, the coordinator's book and the rules agree.</summary>
public sealed class CoordinatorGrantTests
{
    private const int KiB64 = 64 * 1024;

    private static readonly string[] Names = ["a", "b", "c", "d", "e"];

    private static readonly Gen<(int Kind, int Node, int Choice)[]> GenEvents =
        Gen.Select(Gen.Int[0, 17], Gen.Int[0, Names.Length - 1], Gen.Int[0, 1 << 20]).Array[0, 80];

    [Fact]
    public void AnyEvents_AnySmallContent_NoSegmentIsGrantedTwice() =>
        Gen.Select(Gen.Int[0, 40], Gen.Int[1, 4], GenEvents).Sample(
            (pieces, readers, events) => new Run(pieces * KiB64, readers, zones: 1).Play(events), iter: 250);

    [Fact]
    public void AnyEvents_SeveralZones_NoSegmentIsGrantedTwice() =>
        Gen.Select(Gen.Int[0, 40], Gen.Int[1, 4], GenEvents).Sample(
            (pieces, readers, events) => new Run(pieces * KiB64, readers, zones: 2).Play(events), iter: 100);

    [Fact]
    public void AnyEvents_SegmentsOfManyPieces_NoSegmentIsGrantedTwice() =>
        Gen.Select(Gen.Long[512L << 20, 4096L << 20], Gen.Int[1, 4], GenEvents).Sample(
            (size, readers, events) => new Run(size, readers, zones: 1).Play(events), iter: 10);

    private sealed class Run
    {
        private readonly CoordinatorPolicy _policy;
        private readonly Coordinator _coordinator;
        private readonly ToldNodes _told;
        private readonly ContentLayout _layout;
        private readonly int _credits;
        private readonly Dictionary<string, PieceSet> _held = new(StringComparer.Ordinal);
        private readonly Dictionary<string, bool> _asking = new(StringComparer.Ordinal);
        private readonly Dictionary<string, PieceSet?> _wanted = new(StringComparer.Ordinal);
        private readonly Func<string, string> _zoneOf;

        /// <summary>Nodes that have wanted only a part at some time.</summary>
        private readonly HashSet<string> _bitByBit = [];

        /// <summary>When each node last had something to fetch or to read.</summary>
        private readonly Dictionary<string, TimeSpan> _lastBusy = new(StringComparer.Ordinal);

        /// <summary>Uploads that each node has shown to be able to serve.</summary>
        private readonly Dictionary<string, int> _tokens = new(StringComparer.Ordinal);

        /// <summary>Segments that a node said not to hold, though it had told so.</summary>
        private readonly HashSet<(string, int)> _denied = [];

        /// <summary>Nodes that somebody has complained of: what only they hold may be read again.</summary>
        private readonly HashSet<string> _suspects = new(StringComparer.Ordinal);

        private HashSet<(string To, string From, int Segment)> _fetches = [];

        /// <summary>What a node that comes again is reading already.</summary>
        private HashSet<int> _reading = [];
        private bool _isSizeKnown;
        private TimeSpan _pausedUntil;
        private TimeSpan _now;

        public Run(long size, int readers, int zones)
        {
            _policy = new CoordinatorPolicy { Readers = readers, HolderSample = 3, Credits = 3, CreditsOfShortSegments = 5, Children = 2, LeastOpenGrants = 6, ForemostReaders = 2, Few = 2, Lease = TimeSpan.FromSeconds(2), ShortestTrial = TimeSpan.FromHours(1), LongestTrial = TimeSpan.FromHours(1) };
            _layout = new ContentLayout(size);
            _credits = _layout.SegmentSize <= _policy.ShortSegment ? _policy.CreditsOfShortSegments : _policy.Credits;
            _zoneOf = node => zones > 1 ? $"{node[0] % zones}" : string.Empty;
            _coordinator = new Coordinator(_policy, seed: 7, _zoneOf);
            _told = new ToldNodes(_coordinator);
        }

        public void Play((int Kind, int Node, int Choice)[] events)
        {
            foreach (var (kind, index, choice) in events)
            {
                _reading = [];
                Step(kind, Names[index], new Random(choice));
                Check();
            }

            _reading = [];
            Settle();
        }

        private void Step(int kind, string node, Random random)
        {
            switch (kind)
            {
                case 0 or 1:
                    Ask(node, new Want { CanReachOrigin = random.Next(4) > 0, Wanted = { random.Next(4) == 0 ? SomePieces(random) : [] } });
                    break;
                case 2:
                    Leave(node);
                    break;
                case 3 or 4 or 5 when _isSizeKnown:
                    // Mostly what it reads and fetches arrives, as the owner sees it: piece by piece.
                    var more = _held.TryGetValue(node, out var before) ? before.Clone() : new PieceSet(_layout.PieceCount);
                    foreach (var segment in _told[node].Granted.Take(random.Next(4)).Concat(_fetches.Where(fetch => fetch.To == node).Select(fetch => fetch.Segment).Take(random.Next(4))))
                    {
                        more.AddRun(segment * _layout.PiecesPerSegment, random.Next(_layout.PiecesPerSegment + 1));
                    }

                    more.AddRun(random.Next(_layout.PieceCount + 1), random.Next(3));
                    Hold(node, more);
                    break;
                case 6 when _held.TryGetValue(node, out var all):
                    var fewer = all.Clone();
                    foreach (var piece in Enumerable.Range(0, _layout.PieceCount).Where(_ => random.Next(3) == 0))
                    {
                        fewer.Remove(piece);
                    }

                    Hold(node, fewer);
                    break;
                case 7:
                    _held.Remove(node);
                    _coordinator.HolderChanged(node, complete: false, null, _now);
                    ForgetIfGone(node);
                    break;
                case 8 when _asking.GetValueOrDefault(node):
                    var failed = random.Next(2) == 0;
                    var pause = failed && random.Next(2) == 0 ? random.Next(1, 5000) : 0;
                    var back = _told[node].Granted.Where(_ => failed || random.Next(2) == 0).ToList();
                    _told[node].Granted.ExceptWith(back);
                    _asking[node] &= !failed || pause > 0;
                    _pausedUntil = pause > 0 && _now + TimeSpan.FromMilliseconds(pause) > _pausedUntil ? _now + TimeSpan.FromMilliseconds(pause) : _pausedUntil;
                    _coordinator.Reported(node, new GrantReport { GivenBack = { SegmentRuns.Of(back) }, OriginFailed = failed, OriginPauseMs = (uint)pause }, _now);
                    break;
                case 9 or 10:
                    _now += TimeSpan.FromMilliseconds(random.Next(3000));
                    _coordinator.Tick(_now);
                    break;
                case 11:
                    Size();
                    break;
                case 12 when _asking.TryGetValue(node, out var able):
                    // Its stream breaks and it comes again.
                    _reading = [.. _told[node].Granted.Where(_ => _isSizeKnown && random.Next(2) == 0)];
                    var fetching = _fetches.Where(fetch => fetch.To == node && random.Next(2) == 0).ToList();
                    Leave(node);
                    Ask(node, new Want
                    {
                        CanReachOrigin = able,
                        Continued = true,
                        Reading = { SegmentRuns.Of(_reading) },
                        Fetching = { fetching.Select(fetch => new Assignment { Node = fetch.From, Segments = { new SegmentRun { First = (uint)fetch.Segment, Count = 1 } } }) },
                    });
                    break;
                case > 12 when _fetches.Count > 0:
                    Fail(_fetches.Order().ElementAt(random.Next(_fetches.Count)), (FetchFailure)random.Next(1, 7));
                    break;
            }
        }

        private IEnumerable<PieceRun> SomePieces(Random random) =>
            [.. Enumerable.Range(0, random.Next(3)).Select(_ => new PieceRun { First = (uint)random.Next(Math.Max(1, _layout.PieceCount)), Count = (uint)random.Next(1, 9) }).DefaultIfEmpty(new PieceRun())];

        private void Ask(string node, Want want)
        {
            var wanted = new PieceSet(_layout.PieceCount);
            wanted.AddRuns(want.Wanted);
            _wanted[node] = want.Wanted.Count == 0 ? null : wanted;
            if (want.Wanted.Count > 0)
            {
                _bitByBit.Add(node);
            }

            _asking[node] = want.CanReachOrigin;
            _lastBusy.TryAdd(node, _now);
            _coordinator.Asked(node, want, _now);
        }

        private void Leave(string node)
        {
            _asking.Remove(node);
            _told.Forget(node);
            _lastBusy.Remove(node);
            _coordinator.Left(node, _now);
            ForgetIfGone(node);
        }

        private void ForgetIfGone(string node)
        {
            if (!_asking.ContainsKey(node) && !_held.ContainsKey(node))
            {
                _tokens.Remove(node);
            }
        }

        private void Fail((string To, string From, int Segment) fetch, FetchFailure reason)
        {
            _coordinator.Reported(fetch.To, new GrantReport { Failed = { new FailedFetch { Segment = (uint)fetch.Segment, Node = fetch.From, Reason = reason } } }, _now);
            var tokens = _tokens.GetValueOrDefault(fetch.From, _credits);
            switch (reason)
            {
                case FetchFailure.Slow when _told[fetch.To].Granted.Count > 0 && _asking.Keys.Count(IsWanting) > _policy.Few:
                    // Who reads from the origin is no judge where there are others.
                    break;
                case FetchFailure.Slow when tokens > 3:
                    _tokens[fetch.From] = tokens / 2;
                    break;
                case FetchFailure.Busy:
                    _tokens[fetch.From] = Math.Max(1, _coordinator.Fetches.Count(other => other.From == fetch.From));
                    break;
                case FetchFailure.NotHeld:
                    _denied.Add((fetch.From, fetch.Segment));
                    _suspects.Add(fetch.From);
                    break;
                case FetchFailure.Slow or FetchFailure.Unreachable or FetchFailure.Corrupt:
                    _tokens[fetch.From] = reason == FetchFailure.Slow ? 1 : tokens;
                    _suspects.Add(fetch.From);
                    break;
            }
        }

        private bool IsWanting(string node) => _told[node].Granted.Count > 0 || _wanted[node] is not { Count: 0 };

        private void Size()
        {
            if (!_isSizeKnown)
            {
                _isSizeKnown = true;
                var probers = _told.All.Where(pair => pair.Value.Granted.Count > 0).Select(pair => pair.Key).ToList();
                _coordinator.SizeKnown(_layout.Size, string.Empty, _now, probers.LastOrDefault());
                var beginning = Enumerable.Range(0, _layout.SegmentCount).TakeWhile(segment => _layout.Segment(segment).Offset < ProtocolConstants.ProbeBytes).ToList();
                if (probers.Count > 0 && beginning.Count == 0)
                {
                    probers.ForEach(prober => _told[prober].Granted.Clear());
                }
                else if (probers.Count > 0)
                {
                    // Who has found it out reads on. The others are told that they need not.
                    _told[probers[^1]].Granted.UnionWith(beginning);
                    _reading = [.. beginning];
                }

                return;
            }

            _coordinator.SizeKnown(_layout.Size, string.Empty, _now);
        }

        private void Hold(string node, PieceSet pieces)
        {
            foreach (var fetch in _coordinator.Fetches.Where(fetch => fetch.To == node && HoldsAll(pieces, fetch.Segment)).ToList())
            {
                _tokens[fetch.From] = Math.Min(_credits, _tokens.GetValueOrDefault(fetch.From, _credits) + 1);
            }

            _held[node] = pieces;
            _denied.RemoveWhere(denied => denied.Item1 == node);
            if (_asking.ContainsKey(node))
            {
                _told[node].Granted.RemoveWhere(segment => HoldsAll(pieces, segment));
            }

            _coordinator.HolderChanged(node, pieces.IsFull, pieces.Clone(), _now);
        }

        private bool HoldsAll(PieceSet pieces, int segment)
        {
            var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
            var missing = pieces.NextClear(first);
            return missing < 0 || missing >= end;
        }

        private bool Holds(string node, int segment) => !_denied.Contains((node, segment)) && _held.TryGetValue(node, out var pieces) && HoldsAll(pieces, segment);

        private bool IsHeld(int segment, bool isBySuspectsToo = true) =>
            _held.Keys.Any(node => (isBySuspectsToo || !_suspects.Contains(node)) && Holds(node, segment));

        private bool Wants(string node, int segment)
        {
            var (first, end) = SegmentRuns.PiecesOf(segment, _layout);
            return _wanted[node] is not { } wanted || (wanted.NextSet(first) is >= 0 and var piece && piece < end);
        }

        private void Check()
        {
            // What has ended and was assigned anew is new, too.
            var before = _coordinator.Fetches.ToHashSet();
            foreach (var (node, push) in _told.Take(_now))
            {
                Assert.True(_asking.TryGetValue(node, out var able), "a node that does not ask is told nothing");
                Assert.True(push.Granted.Count == 0 || able, "a grant went to a node that cannot reach the origin");
                Assert.DoesNotContain(push.Holders, holder => holder.Node == node);
                foreach (var segment in ToldNodes.Segments(push.Granted).Where(_ => _isSizeKnown))
                {
                    Assert.False(IsHeld(segment, isBySuspectsToo: false), "what somebody holds was granted");
                    Assert.True(_now >= _pausedUntil || _reading.Contains(segment), "something was granted though the origin asked for a pause");
                }
            }

            CheckGrants();
            CheckFetches(before);
            CheckStates();
        }

        private void CheckGrants()
        {
            var believed = _told.All.SelectMany(pair => pair.Value.Granted.Select(segment => (segment, pair.Key))).Order().ToList();
            Assert.True(!_isSizeKnown || believed.Count == believed.Select(pair => pair.segment).Distinct().Count(), "a segment was granted twice");
            Assert.Equal(_coordinator.Grants.Select(pair => (pair.Key, pair.Value)).Order(), believed);
            Assert.InRange(believed.Select(pair => pair.Key).Distinct().Count(), 0, _policy.Readers);
            Assert.All(Names.Except(_bitByBit), node => Assert.InRange(_coordinator.CountGrants(node), 0, Math.Max(_policy.GrantsPerAsker, _policy.LeastOpenGrants)));
        }

        private void CheckFetches(HashSet<(string To, string From, int Segment)> before)
        {
            FetchRules.Check(_coordinator, _policy, _layout);
            var now = _coordinator.Fetches.ToHashSet();
            var fresh = now.Except(before).ToList();
            foreach (var (to, from, segment) in fresh)
            {
                Assert.True(_asking.ContainsKey(to), "who does not ask was assigned something");
                Assert.True(Wants(to, segment), "what is not wanted was assigned");
                Assert.False(Holds(to, segment), "what is held was assigned");
                Assert.True(
                    Holds(from, segment) || _told[from].Granted.Contains(segment) || now.Any(fetch => fetch.To == from && fetch.Segment == segment),
                    "a node was to serve what it neither has nor is to get");
                Assert.InRange(now.Count(fetch => fetch.From == from), 1, _tokens.GetValueOrDefault(from, _credits));
                Assert.Equal(from, _told[to].Assigned.GetValueOrDefault(segment));
            }

            CheckCrossings(fresh, now);
            _fetches = now;
        }

        /// <summary>A segment comes from another zone only when nobody of the own one that serves well has it or is to get it, or after long waiting.</summary>
        private void CheckCrossings(List<(string To, string From, int Segment)> fresh, HashSet<(string To, string From, int Segment)> now)
        {
            var crossings = fresh.Where(fetch => _zoneOf(fetch.To) != _zoneOf(fetch.From) && _now - _lastBusy[fetch.To] < _policy.ZonePatience).ToList();
            crossings.RemoveAll(fetch => !_coordinator.CountsInZone(fetch.To));
            Assert.Equal(crossings.Count, crossings.Select(fetch => (_zoneOf(fetch.To), fetch.Segment)).Distinct().Count());
            foreach (var (to, _, segment) in crossings)
            {
                foreach (var near in Names.Where(near => near != to && _zoneOf(near) == _zoneOf(to) && _coordinator.CountsInZone(near)))
                {
                    Assert.False(
                        Holds(near, segment) || _told[near].Granted.Contains(segment) || now.Any(fetch => fetch.To == near && fetch.Segment == segment && fetch.From != to && !fresh.Contains(fetch)),
                        "what a node of the same zone has or is to get crossed the border");
                }
            }

            foreach (var node in _asking.Keys.Where(node => _told[node].Granted.Count > 0 || now.Any(fetch => fetch.To == node)))
            {
                _lastBusy[node] = _now;
            }
        }

        private void CheckStates()
        {
            foreach (var (node, told) in _told.All.Where(pair => _asking.ContainsKey(pair.Key)))
            {
                Assert.InRange(told.Holders.Count, 0, _policy.HolderSample);
                Assert.NotEqual(LookupState.Unspecified, told.State);
                Assert.Equal(_isSizeKnown && _layout.Size > 0 ? _layout.Size : null, told.Size);
                if (_asking.ContainsValue(true))
                {
                    Assert.Equal(LookupState.Available, told.State);
                }
                else if (_isSizeKnown && _suspects.Count == 0)
                {
                    var isCovered = Enumerable.Range(0, _layout.SegmentCount).All(segment => IsHeld(segment) || _coordinator.Grants.Any(grant => grant.Key == segment));
                    Assert.Equal(isCovered ? LookupState.Available : LookupState.Unavailable, told.State);
                }
            }
        }

        /// <summary>From any state on: as long as one that asks reads on, all that nobody holds is read.</summary>
        private void Settle()
        {
            Size();
            Check();
            if (!_asking.ContainsValue(true))
            {
                return;
            }

            // Only the first able node is alive: the others let their leases expire, and serve nobody.
            var alive = Names.First(name => _asking.GetValueOrDefault(name));
            Ask(alive, new Want { CanReachOrigin = true });
            for (var round = 0; round < 1000 && !Enumerable.Range(0, _layout.SegmentCount).All(segment => IsHeld(segment)); round++)
            {
                var pieces = _held.TryGetValue(alive, out var before) ? before.Clone() : new PieceSet(_layout.PieceCount);
                foreach (var segment in _told[alive].Granted)
                {
                    pieces.AddRun(segment * _layout.PiecesPerSegment, _layout.PiecesPerSegment);
                }

                Hold(alive, pieces);
                Check();
                foreach (var fetch in _fetches.Where(fetch => fetch.To == alive))
                {
                    Fail(fetch, FetchFailure.Starved);
                }

                _now += TimeSpan.FromMilliseconds(500);
                _coordinator.Tick(_now);
                Check();
            }

            Assert.DoesNotContain(Enumerable.Range(0, _layout.SegmentCount), segment => !IsHeld(segment));
        }
    }
}
