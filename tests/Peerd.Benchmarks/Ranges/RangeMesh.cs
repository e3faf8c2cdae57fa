using Peerd.Benchmarks.Servers;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Membership;
using Peerd.Node.Ring;

namespace Peerd.Benchmarks.Ranges;

/// <summary>
/// A mesh in which nobody who reads or holds a content coordinates it, too: as it is nearly always with many nodes, and
/// hardly ever with two. Owner and replica are nodes of their own, which run.
/// </summary>
internal sealed class RangeMesh
{
    private const int Coordinators = 2;

    private readonly IReadOnlyList<PeerdNode> _members;

    private RangeMesh(IReadOnlyList<PeerdNode> members, IReadOnlyList<RangeNode> others)
    {
        _members = members;
        Others = others;
    }

    /// <summary>The nodes that do not coordinate the content; none of them runs yet.</summary>
    public IReadOnlyList<RangeNode> Others { get; }

    /// <summary>Makes a mesh, and starts owner and replica of the file.</summary>
    public static async Task<RangeMesh> StartAsync(Lab lab, RangeSite site, BenchmarkFile file, int others)
    {
        RangeNode[] nodes = [.. Enumerable.Range(0, Coordinators + others).Select(i => CreateNode(lab, site, i))];
        PeerdNode[] members = [.. nodes.Select(node => node.Node)];
        var ring = new HashRing(new MemberList(members.Select(member => new Member(member.Name, new(member.Mesh.Host, member.Mesh.Port), string.Empty))));
        var coordinators = CoordinatorsOf(ring, file);
        await Task.WhenAll(nodes.Where(node => coordinators.Contains(node.Node.Name)).Select(node => node.StartAsync(members)));
        return new RangeMesh(members, [.. nodes.Where(node => !coordinators.Contains(node.Node.Name))]);
    }

    /// <summary>Starts one of the others.</summary>
    public Task StartAsync(RangeNode node, bool usesLearnedOrder = true, params Upstream[] registries) => node.StartAsync(_members, usesLearnedOrder, registries);

    private static RangeNode CreateNode(Lab lab, RangeSite site, int index)
    {
        var host = site.NodeHosts.ElementAtOrDefault(index);
        return new RangeNode(site, host is null ? PeerdNode.Create(lab, $"n{index + 1}") : PeerdNode.Create(lab, host), host);
    }

    private static string[] CoordinatorsOf(HashRing ring, BenchmarkFile file)
    {
        Span<int> responsible = stackalloc int[Coordinators];
        ring.FindResponsible(file.Digest, responsible);
        return [ring[responsible[0]].Name, ring[responsible[1]].Name];
    }
}
