using System.Net;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>
/// The Kubernetes nodes as they are known, and who of them is a member: who has an address, is not excluded, and is ready or
/// has not been so for a short time only. No clock of its own. Not thread-safe.
/// </summary>
/// <param name="port">Port of the mesh listener, the same on every node.</param>
/// <param name="grace">How long a node that is not ready stays.</param>
/// <param name="former">The members when a process of this node last knew them; null when that is not known.</param>
internal sealed class NodeTable(int port, TimeSpan grace, MemberList? former)
{
    private readonly Dictionary<string, Entry> _nodes = new(StringComparer.Ordinal);

    /// <summary>How many nodes are known, members or not.</summary>
    public int Count => _nodes.Count;

    /// <summary>A node is new, or as it is now; false when that is how it was: the kubelets of a large cluster say so all the time.</summary>
    public bool Set(NodeFacts node, TimeSpan now)
    {
        var before = _nodes.GetValueOrDefault(node.Name);
        var notReadySince = node.IsReady ? (TimeSpan?)null
            : before is null ? TimeSpan.MinValue
            : before.NotReadySince ?? now;
        if (before is not null && before.Node == node && before.NotReadySince == notReadySince)
        {
            return false;
        }

        _nodes[node.Name] = new Entry(node, notReadySince, MemberOf(node));
        return true;
    }

    /// <summary>A node is gone; false when it was not known.</summary>
    public bool Remove(string name) => _nodes.Remove(name);

    /// <summary>These are all nodes. Those that were known before keep their grace.</summary>
    public void ReplaceAll(IReadOnlyCollection<NodeFacts> nodes, TimeSpan now)
    {
        var isFirst = _nodes.Count == 0;
        var names = nodes.Select(node => node.Name).ToHashSet(StringComparer.Ordinal);
        foreach (var gone in _nodes.Keys.Where(name => !names.Contains(name)).ToList())
        {
            _nodes.Remove(gone);
        }

        foreach (var node in nodes)
        {
            Set(node, now);
            if (isFirst && !node.IsReady && former?.IndexOf(node.Name) is null or >= 0)
            {
                // For how long it has not been is not known: it may be a moment. Unless it was no member before: its grace is over, or it is new.
                _nodes[node.Name] = _nodes[node.Name] with { NotReadySince = now };
            }
        }
    }

    /// <summary>The members.</summary>
    public MemberList MembersAt(TimeSpan now) => new(_nodes.Values.Where(entry => IsMember(entry, now)).Select(entry => entry.Member!));

    /// <summary>When the next node that is not ready leaves; null when none is about to.</summary>
    public TimeSpan? NextLeave(TimeSpan now)
    {
        TimeSpan? next = null;
        foreach (var entry in _nodes.Values)
        {
            if (entry.NotReadySince is { } since && IsMember(entry, now) && !(next <= since + grace))
            {
                next = since + grace;
            }
        }

        return next;
    }

    private Member? MemberOf(NodeFacts node) =>
        node is { Address: { } address, IsExcluded: false } ? new Member(node.Name, new DnsEndPoint(address.ToString(), port), node.Zone) : null;

    private bool IsMember(Entry entry, TimeSpan now) =>
        entry.Member is not null && (entry.NotReadySince is not { } since || (since > TimeSpan.MinValue && now - since < grace));

    /// <param name="Node">The node.</param>
    /// <param name="NotReadySince">Null when it is ready; the least value when it never was.</param>
    /// <param name="Member">The member that it is as long as it is ready; null when it cannot be one.</param>
    private sealed record Entry(NodeFacts Node, TimeSpan? NotReadySince, Member? Member);
}
