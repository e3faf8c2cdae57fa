using Peerd.Node.Directory;
using Peerd.Simulation.Events;
using Peerd.Simulation.Network;
using Peerd.Simulation.Owners;
using Peerd.Simulation.Requesters;
using Peerd.Simulation.Results;

namespace Peerd.Simulation.Mesh;

/// <summary>
/// A mesh in virtual time: the state machines and the ring of real nodes, on simulated links. What happens follows from
/// the scenario alone. For one run; not thread-safe.
/// </summary>
internal sealed class SimulatedMesh
{
    /// <summary>A download that takes so much longer than it could never ends.</summary>
    private const int Patience = 20;

    private static readonly TimeSpan MorePatience = TimeSpan.FromMinutes(2);

    private readonly Random _random;
    private readonly RingViews _rings;
    private readonly int[,] _trunks;

    /// <summary>Links between two nodes only.</summary>
    private readonly Dictionary<(int From, int To), int> _thinPaths = [];
    private readonly SimulatedNode[] _nodes;
    private readonly List<OwnerDesk> _desks = [];
    private readonly TimeSpan _bound;
    private int _left;

    /// <param name="scenario">What is simulated.</param>
    /// <param name="stopwatch">Measures the processor time of coordinators; null when that is of no interest.</param>
    public SimulatedMesh(Scenario scenario, TimeProvider? stopwatch = null)
    {
        Scenario = scenario;
        _random = new Random(scenario.Seed);
        _bound = Bound.Of(scenario);
        Latencies = new Latencies(scenario.Seed);
        Network = new FrameNetwork(Timeline, Latencies.Data);
        Contents = [.. Enumerable.Range(0, scenario.Contents).Select(number => SimulatedContent.Create(scenario, number))];
        Counts = new Counts(stopwatch);
        _rings = new RingViews(scenario, [.. Contents.Select(content => content.Digest)]);
        var slow = Draw(scenario.SlowNodes);
        _nodes = [.. _rings.Names.Select((name, number) => AddNode(name, number, slow.Contains(number)))];
        Origin = _nodes.Length;
        Network.AddNode(scenario.OriginUplink * scenario.NodeRate, scenario.NodeRate);
        Network.Greed = scenario.OriginGreed > 0 ? new Greed(Origin, scenario.OriginGreed, scenario.Seed) : null;
        _trunks = AddTrunks();
        AddThinPaths();
    }

    public Scenario Scenario { get; }

    public Timeline Timeline { get; } = new();

    public FrameNetwork Network { get; }

    public Latencies Latencies { get; }

    public SimulatedContent[] Contents { get; }

    public Counts Counts { get; }

    /// <summary>The origin's number in the network.</summary>
    public int Origin { get; }

    public TimeSpan Now => Timeline.Now;

    public IReadOnlyList<SimulatedNode> Nodes => _nodes;

    /// <summary>Nodes that want the contents.</summary>
    public IEnumerable<SimulatedNode> Wanting => _nodes.Take(Scenario.Nodes);

    public SimulatedNode NodeOf(string name) => _nodes[_rings.NumberOf(name)];

    /// <summary>Who is responsible for a content as this node sees it, the owner first.</summary>
    public int[] Responsible(SimulatedNode node, SimulatedContent content) => _rings.Responsible[node.Ring][content.Number];

    public int TrunkBetween(SimulatedNode node, SimulatedNode other) => _trunks[node.Number % Scenario.Zones, other.Number % Scenario.Zones];

    /// <summary>The link that what one node sends to another passes besides their own; <see cref="Flow.None"/> when there is none.</summary>
    public int PathBetween(SimulatedNode node, SimulatedNode other) =>
        _thinPaths.TryGetValue((node.Number, other.Number), out var link) ? link : TrunkBetween(node, other);

    /// <summary>A time of at least half of the limit, for what has no fixed time.</summary>
    public TimeSpan About(TimeSpan limit) => limit * (0.5 + (0.5 * _random.NextDouble()));

    /// <summary>Sends a message over a control connection, or over none when it stays on the node.</summary>
    public void Send(SimulatedNode from, SimulatedNode to, Action arrived) => Timeline.After(Latencies.Control(from.Number, to.Number), arrived);

    /// <summary>What a node knows of a content as somebody responsible; made when somebody turns to it for the first time.</summary>
    public OwnerDesk DeskOf(SimulatedNode node, SimulatedContent content)
    {
        if (node.Desks[content.Number] is not { } desk)
        {
            node.Desks[content.Number] = desk = new OwnerDesk(this, node, content);
            _desks.Add(desk);
        }

        return desk;
    }

    public Outcome Run()
    {
        PlanRingChanges();
        PlanStarts();
        PlanDeaths();
        Timeline.Run((Patience * _bound) + MorePatience, Network, () => _left == 0);
        return OutcomeReader.Read(this);
    }

    /// <summary>The node has a whole content, or died before.</summary>
    public void DownloadIsOver(SimulatedNode node)
    {
        _left -= node.IsThin ? 0 : 1;
        if (node.IsAlive && node.Waiting.TryDequeue(out var next))
        {
            Timeline.After(TimeSpan.Zero, next.Start);
        }
    }

    private SimulatedNode AddNode(string name, int number, bool isSlow)
    {
        var rate = Scenario.UplinkOf(number);
        var slowRate = rate * (isSlow ? Scenario.SlowRate : 1);
        var isThin = isSlow && Scenario.SlowBothWays;
        var downlink = Network.AddNode(slowRate, Scenario.NodeRate * (isThin ? Scenario.SlowRate : 1));
        if (isSlow && Scenario.SlowFrom > 0)
        {
            Network.SetUplink(number, rate);
            Timeline.At(Scenario.SlowFrom * _bound, () => Network.SetUplink(number, slowRate));
        }

        var zone = Scenario.Zones == 1 ? string.Empty : $"zone-{number % Scenario.Zones}";
        return new SimulatedNode(number, name, zone, downlink, Contents.Length) { IsThin = isThin };
    }

    private int[,] AddTrunks()
    {
        var trunks = new int[Scenario.Zones, Scenario.Zones];
        for (var from = 0; from < Scenario.Zones; from++)
        {
            for (var to = 0; to < Scenario.Zones; to++)
            {
                trunks[from, to] = from == to ? Flow.None : Network.AddLink(Scenario.ZoneUplink * Scenario.NodeRate);
            }
        }

        return trunks;
    }

    private void AddThinPaths()
    {
        // Of its own: what else happens by chance is the same without these.
        var random = new Random(Scenario.Seed);
        int[] numbers = [.. Enumerable.Range(0, Scenario.Nodes)];
        random.Shuffle(numbers);
        foreach (var to in numbers.Take(Scenario.ThinPaths))
        {
            var from = (to + 1 + random.Next(Scenario.Nodes - 1)) % Scenario.Nodes;
            _thinPaths.Add((from, to), Network.AddLink(Scenario.SlowRate * Scenario.NodeRate));
        }
    }

    private void PlanStarts()
    {
        var spread = Scenario.Stagger * Bound.Alone(Scenario);
        foreach (var node in Wanting)
        {
            var start = spread * _random.NextDouble();
            foreach (var content in Contents)
            {
                _left += node.IsThin ? 0 : 1;
                var download = new SimulatedDownload(this, node, content) { StartsAt = start };
                node.Downloads[content.Number] = download;
                if (content.Number < Scenario.ContentsAtOnce)
                {
                    Timeline.At(start, download.Start);
                }
                else
                {
                    node.Waiting.Enqueue(download);
                }
            }
        }
    }

    private void PlanRingChanges()
    {
        for (var change = 1; change < _rings.Count; change++)
        {
            var share = Scenario.FirstRingChange is { } first && change == 1 ? first : change / (double)_rings.Count;
            foreach (var node in _nodes)
            {
                // Who joins knows so first.
                var isJoining = node.Number == Scenario.Nodes + change - 1;
                var (ring, time) = (change, (share * _bound) + (Scenario.RingSpread * ((isJoining ? 0 : _random.NextDouble()) - 0.5)));
                Timeline.At(time > TimeSpan.Zero ? time : TimeSpan.Zero, () => node.SeeRing(ring, Now));
            }
        }
    }

    private void PlanDeaths()
    {
        var responsible = _rings.Responsible[0][0];
        var dying = Draw((int)Math.Ceiling(Scenario.Killed * Scenario.Nodes));
        dying.UnionWith(Scenario.OwnerFate switch
        {
            OwnerFate.OwnerDies => responsible[..1],
            OwnerFate.BothDie => responsible,
            _ => [],
        });
        foreach (var number in dying.Order())
        {
            Timeline.At(Scenario.FaultAt * _bound, () => Kill(_nodes[number]));
        }
    }

    private void Kill(SimulatedNode node)
    {
        node.Die();
        Timeline.After(HolderDirectory.Grace, () => _desks.ForEach(desk => desk.Withdrawn(node)));
    }

    /// <summary>Some of the nodes, none of them responsible for the first content as long as there are others.</summary>
    private HashSet<int> Draw(int count)
    {
        var responsible = _rings.Responsible[0][0];
        var spared = Scenario.Nodes > responsible.Length ? responsible : responsible[..1];
        int[] numbers = [.. Enumerable.Range(0, Scenario.Nodes).Except(spared)];
        _random.Shuffle(numbers);
        return [.. numbers.Take(count)];
    }
}
