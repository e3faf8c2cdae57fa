using Grpc.Core;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>Members that come and go while contents are read.</summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class PeerRestartTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Pull_StreamsToTheFormerProcessOfThePeer_AreReplacedWithoutAFailure()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var samples = Enumerable.Range(0, 2).Select(_ => mesh.BlobOwnedBy((2 * MiB) + 5, mesh.Node.Name)).ToList();
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            if (range.Id > 1)
            {
                // What a reader sees of a stream to a process that is gone.
                throw new RpcException(new Status(StatusCode.Unavailable, "the process is gone"));
            }

            foreach (var answer in FakePeer.Honest(range, samples.Single(sample => sample.Digest.ToString() == range.Digest)))
            {
                await answers.WriteAsync(answer);
            }
        };

        foreach (var sample in samples)
        {
            using var announcing = await mesh.Peer.AnnounceAsync(mesh.Node, sample);
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
            Assert.Equal(0, mesh.Registry.BytesOf(sample.Digest));
        }

        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Message.Contains(" failed: ", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Pull_OwnerLeavesTheRing_NothingIsReadTwice()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        var sample = mesh.BlobOwnedBy((8 * MiB) + 5, "node-3");
        using var held = mesh.Registry.HoldBodies();
        var pulls = mesh.Nodes.Take(2).Select(node => node.GetAsync(sample.Digest)).ToList();
        await Wait.UntilAsync(() => mesh.Registry.Requests.Count >= 3, "the origin is being read");

        mesh.Leave("node-3");
        await Task.WhenAll(mesh.Nodes.Take(2).Select(node => node.WaitForMembersAsync(2)));
        await Wait.UntilAsync(() => mesh.Nodes.Take(2).Sum(node => node.Logs.GetSnapshot().Count(record => record.Message.StartsWith("Lookup of", StringComparison.Ordinal) && !record.Message.Contains("node-3", StringComparison.Ordinal))) > 0, "the new owner is asked");
        held.Dispose();

        foreach (var answer in await Task.WhenAll(pulls))
        {
            answer.ShouldBe(sample.Bytes);
        }

        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
        Assert.DoesNotContain(mesh.Nodes.SelectMany(node => node.Logs.GetSnapshot()), record => record.Message.StartsWith("Neither owner nor replica", StringComparison.Ordinal));
    }
}
