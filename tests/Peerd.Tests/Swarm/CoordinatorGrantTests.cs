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
        Gen.Select(Gen.Int[0, 11], Gen.Int[0, Names.Length - 1], Gen.Int[0, 1 << 20]).Array[0, 80];

    [Fact]
    public void AnyEvents_AnySmallContent_NoSegmentIsGrantedTwice() =>
        Gen.Select(Gen.Int[0, 40], Gen.Int[1, 4], GenEvents).Sample(
            (pieces, readers, events) => new Run(pieces * KiB64, readers).Play(events), iter: 250);

    [Fact]
    public void AnyEvents_SegmentsOfManyPieces_NoSegmentIsGrantedTwice() =>
        Gen.Select(Gen.Long[512L << 20, 4096L << 20], Gen.Int[1, 4], GenEvents).Sample(
            (size, readers, events) => new Run(size, readers).Play(events), iter: 10);

    private sealed class Run
    {
        private readonly CoordinatorPolicy _policy;
        private readonly Coordinator _coordinator;
        private readonly ToldNodes _told;
        private readonly ContentLayout _layout;
        private readonly Dictionary<string, PieceSet> _held = new(StringComparer.Ordinal);
        private readonly Dictionary<string, bool> _asking = new(StringComparer.Ordinal);
        private bool _isSizeKnown;
        private TimeSpan _now;

        public Run(long size, int readers)
        {
            _policy = new CoordinatorPolicy { Readers = readers, HolderSample = 3 };
            _layout = new ContentLayout(size);
            _coordinator = new Coordinator(_policy, seed: 7);
            _told = new ToldNodes(_coordinator);
        }

        public void Play((int Kind, int Node, int Choice)[] events)
        {
            foreach (var (kind, index, choice) in events)
            {
                Step(kind, Names[index], new Random(choice));
                Check();
            }

            Settle();
        }

        private void Step(int kind, string node, Random random)
        {
            switch (kind)
            {
                case 0 or 1:
                    _asking[node] = random.Next(4) > 0;
                    _coordinator.Asked(node, _asking[node], isContinued: false, [], _now);
                    break;
                case 2:
                    _asking.Remove(node);
                    _told.Forget(node);
                    _coordinator.Left(node, _now);
                    break;
                case 3 or 4 or 5 when _isSizeKnown:
                    // Mostly what it reads from the origin arrives, as the owner sees it: piece by piece.
                    var more = _held.TryGetValue(node, out var before) ? before.Clone() : new PieceSet(_layout.PieceCount);
                    foreach (var segment in _told[node].Granted.Take(random.Next(4)))
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
                    break;
                case 8 when _asking.ContainsKey(node):
                    var failed = random.Next(2) == 0;
                    var back = _told[node].Granted.Where(_ => failed || random.Next(2) == 0).ToList();
                    _told[node].Granted.ExceptWith(back);
                    _asking[node] &= !failed;
                    _coordinator.GivenBack(node, back.Select(segment => new SegmentRun { First = (uint)segment, Count = 1 }), failed, _now);
                    break;
                case 9:
                    _now += TimeSpan.FromMilliseconds(random.Next(3000));
                    _coordinator.Tick(_now);
                    break;
                case 10 or 11:
                    Size();
                    break;
            }
        }

        private void Size()
        {
            if (!_isSizeKnown)
            {
                _isSizeKnown = true;
                foreach (var (_, told) in _told.All.Where(pair => pair.Value.Granted.Count > 0))
                {
                    told.Granted.Clear();
                    told.Granted.UnionWith(Enumerable.Range(0, _layout.SegmentCount).TakeWhile(segment => _layout.Segment(segment).Offset < ProtocolConstants.ProbeBytes));
                }
            }

            _coordinator.SizeKnown(_layout.Size, string.Empty, _now);
        }

        private void Hold(string node, PieceSet pieces)
        {
            _held[node] = pieces;
            if (_asking.ContainsKey(node))
            {
                _told[node].Granted.RemoveWhere(segment => HoldsAll(pieces, segment));
            }

            _coordinator.HolderChanged(node, pieces.IsFull, pieces.Clone(), _now);
        }

        private bool HoldsAll(PieceSet pieces, int segment) =>
            Enumerable.Range(segment * _layout.PiecesPerSegment, _layout.PiecesPerSegment).All(piece => piece >= _layout.PieceCount || pieces.Contains(piece));

        private bool IsHeld(int segment)
        {
            var union = new PieceSet(_layout.PieceCount);
            foreach (var pieces in _held.Values)
            {
                union.AddRuns(pieces.ToPieceRuns());
            }

            return HoldsAll(union, segment);
        }

        private void Check()
        {
            foreach (var (node, push) in _told.Take())
            {
                Assert.True(_asking.TryGetValue(node, out var able), "a node that does not ask is told nothing");
                Assert.True(push.Granted.Count == 0 || able, "a grant went to a node that cannot reach the origin");
                Assert.DoesNotContain(ToldNodes.Segments(push.Granted), segment => _isSizeKnown && IsHeld(segment));
                Assert.DoesNotContain(push.Holders, holder => holder.Node == node);
            }

            var believed = _told.All.SelectMany(pair => pair.Value.Granted.Select(segment => (segment, pair.Key))).Order().ToList();
            Assert.Equal(believed.Count, believed.Select(pair => pair.segment).Distinct().Count());
            Assert.Equal(_coordinator.Grants.Select(pair => (pair.Key, pair.Value)).Order(), believed);
            Assert.InRange(believed.Select(pair => pair.Key).Distinct().Count(), 0, _policy.Readers);
            foreach (var (node, told) in _told.All.Where(pair => _asking.ContainsKey(pair.Key)))
            {
                Assert.InRange(told.Holders.Count, 0, _policy.HolderSample);
                Assert.NotEqual(LookupState.Unspecified, told.State);
                Assert.Equal(_isSizeKnown && _layout.Size > 0 ? _layout.Size : null, told.Size);
                if (_asking.ContainsValue(true))
                {
                    Assert.Equal(LookupState.Available, told.State);
                }
                else if (_isSizeKnown)
                {
                    var isCovered = Enumerable.Range(0, _layout.SegmentCount).All(segment => IsHeld(segment) || believed.Exists(pair => pair.segment == segment));
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

            for (var round = 0; round < 1000 && !Enumerable.Range(0, _layout.SegmentCount).All(IsHeld); round++)
            {
                // Only the first able node is alive: the others let their leases expire.
                var alive = Names.First(name => _asking.GetValueOrDefault(name));
                var pieces = _held.TryGetValue(alive, out var before) ? before.Clone() : new PieceSet(_layout.PieceCount);
                foreach (var segment in _told[alive].Granted)
                {
                    pieces.AddRun(segment * _layout.PiecesPerSegment, _layout.PiecesPerSegment);
                }

                Hold(alive, pieces);
                Check();
                _now += TimeSpan.FromMilliseconds(500);
                _coordinator.Tick(_now);
                Check();
            }

            Assert.DoesNotContain(Enumerable.Range(0, _layout.SegmentCount), segment => !IsHeld(segment));
        }
    }
}
