using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>What owners know of holders, over real streams.</summary>
public sealed class AnnounceTests
{
    [Fact]
    public async Task Pull_OnANode_IsAnnouncedToTheOwnerAndWithdrawnAtOnceAtItsStop()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var owner = mesh.Nodes[0];
        var holder = mesh.Nodes[1];
        var sample = mesh.BlobOwnedBy(300_000, owner.Name);

        (await holder.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => owner.Directory.Find(sample.Digest, holder.Name) is { Complete: true }, "the owner knows the holder");
        Assert.True(owner.Directory.TryFind(sample.Digest, out var entry));
        Assert.Equal(sample.Bytes.Length, entry.Size);

        // No waiting here: who has stopped has been forgotten.
        await holder.StopAsync();
        Assert.Null(owner.Directory.Find(sample.Digest, holder.Name));
    }

    [Fact]
    public async Task Remove_FromTheCache_IsWithdrawnFromTheOwner()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);

        // Of a smaller one the owner keeps a copy, and gives it back to the replica.
        var sample = mesh.BlobOwnedBy((int)SmallCopies.MaxSize + 1, mesh.Nodes[0].Name);
        sample.WriteAll(mesh.Nodes[1].Cache);
        await Wait.UntilAsync(() => mesh.Nodes[0].Directory.Find(sample.Digest, mesh.Nodes[1].Name) is { Complete: true }, "the owner knows the holder");

        mesh.Nodes[1].Cache.Remove(sample.Digest);

        await Wait.UntilAsync(() => mesh.Nodes[0].Directory.Find(sample.Digest, mesh.Nodes[1].Name) is null, "the owner has forgotten the holder");
    }

    [Fact]
    public async Task Stream_BreaksWithoutAWord_EntriesStayForAGraceAndVanish()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(300_000, mesh.Node.Name);
        var stream = await mesh.Peer.AnnounceAsync(mesh.Node, sample);

        stream.Dispose();

        // Broken and opened again within the grace: nothing was lost.
        Assert.True(mesh.Node.Directory.Find(sample.Digest, mesh.Peer.Name) is { Complete: true });
        var again = await mesh.Peer.AnnounceAsync(mesh.Node, sample);
        Assert.True(mesh.Node.Directory.Find(sample.Digest, mesh.Peer.Name) is { Complete: true });

        again.Dispose();
        await Wait.UntilAsync(() => mesh.Node.Directory.Find(sample.Digest, mesh.Peer.Name) is null, "the owner has forgotten the holder");
        Assert.Equal(0, mesh.Node.Directory.Count);
    }

    [Fact]
    public async Task Holder_Known_ServesTheNextNodeInsteadOfTheOrigin()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.Blob(3_000_001);

        foreach (var node in mesh.Nodes)
        {
            (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
        Assert.Equal(0, mesh.Nodes.Sum(node => node.IntegrityFailures));
    }
}
