using System.Security.Cryptography;
using Peerd.Contracts;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>The other registered digest algorithm, all the way from the registry through the mesh to the client.</summary>
public sealed class Sha512Tests
{
    private const int Size = 1024 * 1024 + 5;

    [Fact]
    public async Task Pull_ContentOfSha512_IsReadOnceAndSharedByPeers()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var bytes = TestMesh.NewSample(Size).Bytes;
        var digest = mesh.Registry.AddBlob(bytes, Sha512(bytes));

        (await mesh.Nodes[0].GetAsync(digest)).ShouldBe(bytes);
        (await mesh.Nodes[1].GetAsync(digest)).ShouldBe(bytes);

        Assert.Equal(Size, mesh.Registry.BytesOf(digest));
        Assert.True(mesh.Nodes.TrueForAll(node => node.Cache.TryPeek(digest, out var content) && content.IsVerified));
    }

    [Fact]
    public async Task Pull_OriginSendsOtherBytes_ClientNeverGetsThemWhole()
    {
        await using var mesh = await TestMesh.StartAsync();
        var digest = mesh.Registry.AddBlob(TestMesh.NewSample(Size).Bytes, Sha512(TestMesh.NewSample(Size).Bytes));

        var answer = await mesh.Node.GetAsync(digest);

        Assert.False(answer.IsComplete && answer.Status == System.Net.HttpStatusCode.OK);
        Assert.True(mesh.Node.IntegrityFailures > 0);
    }

    private static Digest Sha512(byte[] bytes) => Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData(bytes));
}
