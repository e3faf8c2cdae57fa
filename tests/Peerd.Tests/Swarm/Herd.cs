using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>One content's coordinator and the nodes around it, driven by hand: they do at once what a test says.</summary>
internal sealed class Herd
{
    private readonly Dictionary<string, PieceSet> _held = new(StringComparer.Ordinal);

    /// <param name="size">Bytes of the content.</param>
    /// <param name="policy">Null for the usual one, but that a few nodes get as many grants each as many do.</param>
    /// <param name="zoneOf">Zone of a node; null for none.</param>
    public Herd(long size, CoordinatorPolicy? policy = null, Func<string, string>? zoneOf = null)
    {
        Policy = policy ?? new CoordinatorPolicy { LeastOpenGrants = 1 };
        Layout = new ContentLayout(size);
        Owner = new Coordinator(Policy, seed: 1, zoneOf);
        Told = new ToldNodes(Owner);
    }

    public CoordinatorPolicy Policy { get; }

    public ContentLayout Layout { get; }

    public Coordinator Owner { get; }

    public ToldNodes Told { get; }

    public TimeSpan Now { get; private set; }

    public IEnumerable<int> AllSegments => Enumerable.Range(0, Layout.SegmentCount);

    public List<(string To, string From, int Segment)> Fetches => [.. Owner.Fetches];

    /// <summary>Time passes, in the owner's steps, and all is pushed that is due.</summary>
    public void Wait(TimeSpan time)
    {
        for (var end = Now + time; Now < end;)
        {
            var step = TimeSpan.FromMilliseconds(10);
            Now = Now + step < end ? Now + step : end;
            Owner.Tick(Now);
            Push();
        }
    }

    /// <summary>What is due now is pushed.</summary>
    public List<(string Node, LookupResponse Push)> Push() => Told.Take(Now);

    public void Ask(string node, bool canReachOrigin = false) => Ask(node, new Want { CanReachOrigin = canReachOrigin });

    public void Ask(string node, Want want)
    {
        Owner.SizeKnown(Layout.Size, string.Empty, Now);
        Owner.Asked(node, want, Now);
    }

    public void Leave(string node)
    {
        Owner.Left(node, Now);
        Told.Forget(node);
    }

    /// <summary>The node has these segments from now on, besides what it had.</summary>
    public void Hold(string node, params IEnumerable<int> segments)
    {
        Hold(node, pieces =>
        {
            foreach (var segment in segments)
            {
                var (first, end) = SegmentRuns.PiecesOf(segment, Layout);
                pieces.AddRun(first, end - first);
                Told[node].Granted.Remove(segment);
            }
        });
    }

    /// <summary>The node has one more piece of the segment.</summary>
    public void HoldPiece(string node, int segment) => Hold(node, pieces => pieces.Add(pieces.NextClear(segment * Layout.PiecesPerSegment)));

    private void Hold(string node, Action<PieceSet> change)
    {
        Owner.SizeKnown(Layout.Size, string.Empty, Now);
        if (!_held.TryGetValue(node, out var pieces))
        {
            _held.Add(node, pieces = new PieceSet(Layout.PieceCount));
        }

        change(pieces);
        Owner.HolderChanged(node, pieces.IsFull, pieces.Clone(), Now);
    }

    public bool Holds(string node, int segment) => _held.TryGetValue(node, out var pieces) && pieces.Contains(segment * Layout.PiecesPerSegment);

    public void Lose(string node)
    {
        _held.Remove(node);
        Owner.HolderChanged(node, complete: false, null, Now);
    }

    public void Fail((string To, string From, int Segment) fetch, FetchFailure reason) =>
        Owner.Reported(fetch.To, new GrantReport { Failed = { new FailedFetch { Segment = (uint)fetch.Segment, Node = fetch.From, Reason = reason } } }, Now);

    /// <summary>Fails all that this node fetches from that one.</summary>
    public void FailAll(string to, string from, FetchFailure reason) =>
        Fetches.Where(fetch => fetch.To == to && fetch.From == from).ToList().ForEach(fetch => Fail(fetch, reason));

    public int CountFetches(string? to = null, string? from = null) => Fetches.Count(fetch => (to is null || fetch.To == to) && (from is null || fetch.From == from));

    public IEnumerable<int> GrantedTo(string node) => Owner.Grants.Where(pair => pair.Value == node).Select(pair => pair.Key).Order();
}
