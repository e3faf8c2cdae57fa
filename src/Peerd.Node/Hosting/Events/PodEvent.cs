namespace Peerd.Node.Hosting.Events;

/// <summary>What an event of the pod is about.</summary>
internal enum PodEventKind
{
    /// <summary>The members are known and one of them serves, or the node is alone; and this node answers its clients.</summary>
    Connected,

    /// <summary>Bytes from other nodes began to flow after an idle time.</summary>
    Active,

    /// <summary>There are other members, and none of those that were asked serves.</summary>
    Disconnected,

    /// <summary>Requests of local clients could be served by neither the mesh nor the origin.</summary>
    Failed,
}

/// <summary>One event of the pod, for people.</summary>
internal sealed record PodEvent(PodEventKind Kind, string Message)
{
    /// <summary>As <c>kubectl get events</c> shows it: <c>P2PConnected</c> and so on.</summary>
    public string Reason => Kind switch
    {
        PodEventKind.Connected => "P2PConnected",
        PodEventKind.Active => "P2PActive",
        PodEventKind.Disconnected => "P2PDisconnected",
        _ => "P2PFailed",
    };

    /// <summary><c>Normal</c> or <c>Warning</c>.</summary>
    public string Type => Kind is PodEventKind.Connected or PodEventKind.Active ? "Normal" : "Warning";
}
