using System.Globalization;

namespace Peerd.Node.Hosting.Events;

/// <summary>What the node is at a moment, as far as events tell of it.</summary>
/// <param name="IsSynced">The members are known.</param>
/// <param name="Others">How many other members there are.</param>
/// <param name="Reach">Whether one of them is reached.</param>
/// <param name="PeerBytes">Bytes from other nodes that local clients got so far: what a node copies because it owns it is no image that is read.</param>
/// <param name="Failures">Requests of local clients so far that could be served by neither the mesh nor the origin.</param>
/// <param name="IsServing">Clients and other nodes are answered. Counts only while <see cref="EventRules.IsConnected"/> is false.</param>
internal readonly record struct NodeState(bool IsSynced, int Others, Reach Reach, long PeerBytes, long Failures, bool IsServing);

/// <summary>
/// When which event is true. A pure state machine: looks at the node now and then and tells what has become true since. Not
/// thread-safe.
/// </summary>
internal sealed class EventRules
{
    /// <summary>So many other members must have been asked in vain, or all of them: that none of those serves is not by chance.</summary>
    public const int EnoughAsked = 32;

    /// <summary>Without bytes from other nodes for so long, the next ones are an event again.</summary>
    public static readonly TimeSpan IdleTime = TimeSpan.FromMinutes(1);

    /// <summary>No other member must have been reached for so long: streams break and are opened again.</summary>
    public static readonly TimeSpan LossTime = TimeSpan.FromSeconds(10);

    /// <summary>Failures within this time after an event are told together.</summary>
    public static readonly TimeSpan FailureTime = TimeSpan.FromMinutes(1);

    private bool? _isConnected;
    private TimeSpan? _lostAt;
    private long _received;
    private TimeSpan? _receivedAt;
    private long _toldFailures;
    private TimeSpan? _failedAt;

    /// <summary>It was told last that the node is connected.</summary>
    public bool IsConnected => _isConnected == true;

    /// <summary>The events that have become true.</summary>
    /// <param name="state">The node as it is.</param>
    /// <param name="now">Time since any fixed moment; never falls.</param>
    public IReadOnlyList<PodEvent> Look(NodeState state, TimeSpan now)
    {
        var events = new List<PodEvent>();
        LookAtConnection(state, now, events);
        LookAtBytes(state, now, events);
        LookAtFailures(state, now, events);
        return events;
    }

    private void LookAtConnection(NodeState state, TimeSpan now, List<PodEvent> events)
    {
        if (!state.IsSynced || (state.Others > 0 && state.Reach.IsReaching is null))
        {
            return;
        }

        if (state.Others == 0 || state.Reach.IsReaching == true)
        {
            _lostAt = null;
            if (_isConnected != true && state.IsServing)
            {
                _isConnected = true;
                events.Add(new PodEvent(PodEventKind.Connected, state.Others == 0
                    ? "Ready: this is the only node of the mesh, and reads from the registries."
                    : $"Ready: connected to the mesh of {Count(state.Others, "other node")}."));
            }

            return;
        }

        _lostAt ??= now;
        if (_isConnected != false && now - _lostAt >= LossTime && state.Reach.AskedInVain >= Math.Min(state.Others, EnoughAsked))
        {
            _isConnected = false;
            events.Add(new PodEvent(PodEventKind.Disconnected, $"{Silent(state)} that it serves; reading from the registries meanwhile. Do the nodes reach each other at the mesh port?"));
        }
    }

    private void LookAtBytes(NodeState state, TimeSpan now, List<PodEvent> events)
    {
        if (state.PeerBytes <= _received)
        {
            return;
        }

        if (_receivedAt is not { } before || now - before >= IdleTime)
        {
            events.Add(new PodEvent(PodEventKind.Active, "Reading an image from other nodes of the mesh."));
        }

        _received = state.PeerBytes;
        _receivedAt = now;
    }

    private void LookAtFailures(NodeState state, TimeSpan now, List<PodEvent> events)
    {
        var news = state.Failures - _toldFailures;
        if (news <= 0 || (_failedAt is { } before && now - before < FailureTime))
        {
            return;
        }

        _toldFailures = state.Failures;
        _failedAt = now;
        events.Add(new PodEvent(PodEventKind.Failed, $"{Count(news, "request")} of containerd or overlaybd could be served by neither the mesh nor the registry; the log of this pod says why."));
    }

    private static string Silent(NodeState state) =>
        state.Reach.AskedInVain < state.Others ? $"None of {state.Reach.AskedInVain} that were asked, of the {state.Others} other nodes of the mesh, answers"
        : state.Others == 1 ? "The only other node of the mesh does not answer"
        : $"None of the {state.Others} other nodes of the mesh answers";

    private static string Count(long number, string what) => string.Create(CultureInfo.InvariantCulture, $"{number} {what}{(number == 1 ? string.Empty : "s")}");
}
