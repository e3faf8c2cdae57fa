using System.Net;
using Peerd.Contracts;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Simulation.Mesh;

/// <summary>
/// The rings that nodes see one after another, each at its own time. A ring differs from the one before by a member that
/// takes over the first content; the member that did so before has left. Those members want nothing themselves.
/// </summary>
internal sealed class RingViews
{
    private readonly string[] _names;
    private readonly HashRing[] _rings;
    private readonly Dictionary<string, int> _numbers = new(StringComparer.Ordinal);

    public RingViews(Scenario scenario, Digest[] contents)
    {
        var wanting = Enumerable.Range(0, scenario.Nodes).Select(i => $"node-{i:d4}").ToArray();
        var first = new HashRing(ListOf(wanting));
        string[] joining = [.. NamesThatTakeOver(first, contents[0]).Take(scenario.RingChanges)];
        _names = [.. wanting, .. joining];
        for (var i = 0; i < _names.Length; i++)
        {
            _numbers.Add(_names[i], i);
        }

        _rings = [first, .. joining.Select(name => new HashRing(ListOf([.. wanting, name])))];
        Responsible = [.. _rings.Select(ring => contents.Select(content => Find(ring, content)).ToArray())];
    }

    public IReadOnlyList<string> Names => _names;

    public int Count => _rings.Length;

    /// <summary>Numbers of the nodes that are responsible, by ring and content; the owner first.</summary>
    public int[][][] Responsible { get; }

    public int NumberOf(string name) => _numbers[name];

    private static MemberList ListOf(IEnumerable<string> names) =>
        new(names.Select(name => new Member(name, new DnsEndPoint(name, 30_001), string.Empty)));

    /// <summary>Members' distances do not depend on others, so a ring of two tells who would be nearer.</summary>
    private static IEnumerable<string> NamesThatTakeOver(HashRing ring, Digest content)
    {
        var owner = new int[1];
        ring.FindResponsible(content, owner);
        var name = ring[owner[0]].Name;
        for (var i = 0; ; i++)
        {
            var candidate = $"joining-{i}";
            var two = new HashRing(ListOf([name, candidate]));
            two.FindResponsible(content, owner);
            if (two[owner[0]].Name == candidate)
            {
                yield return candidate;
            }
        }
    }

    private int[] Find(HashRing ring, Digest content)
    {
        var members = new int[ProtocolConstants.Replicas];
        var count = ring.FindResponsible(content, members);
        return [.. members.Take(count).Select(member => NumberOf(ring[member].Name))];
    }
}
