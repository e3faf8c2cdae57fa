using System.Net;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>Pulls of contents whose owner, replica, or both are dead or say nothing: the mesh must not make a pull fail.</summary>
public sealed class OwnerFailureTests(OwnerFailureTests.Mesh fixture) : IClassFixture<OwnerFailureTests.Mesh>
{
    [Theory]
    [InlineData("dead-1", "node-2")]
    [InlineData("node-2", "dead-1")]
    [InlineData("dead-1", "dead-2")]
    [InlineData("silent-1", "node-2")]
    [InlineData("node-2", "silent-1")]
    [InlineData("silent-1", "silent-2")]
    [InlineData("fake-1", "node-2")]
    [InlineData("fake-1", "silent-1")]
    [InlineData("dead-1", "silent-1")]
    public async Task Pull_OwnerOrReplicaGone_Completes(string owner, string replica)
    {
        var sample = fixture.Value.BlobOwnedBy(200_001, owner, replica);

        // Both at once: without anybody who tells them apart they may both read the origin.
        var answers = await Task.WhenAll(fixture.Value.Nodes.Select(node => node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
        Assert.InRange(fixture.Value.Registry.BytesOf(sample.Digest), sample.Bytes.Length, 2 * sample.Bytes.Length);
    }

    [Theory]
    [InlineData("dead-1", "dead-2")]
    [InlineData("silent-1", "silent-2")]
    [InlineData("fake-1", "dead-1")]
    public async Task Pull_OwnerGoneAndOriginHasItNot_IsNotFound(string owner, string replica)
    {
        var sample = fixture.Value.BlobOwnedBy(1000, owner, replica);
        var unknown = fixture.Value.UnknownOwnedBy(owner, replica);

        Assert.Equal(HttpStatusCode.NotFound, (await fixture.Value.Node.GetAsync(unknown.Digest)).Status);
        (await fixture.Value.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    /// <summary>Two nodes among members that are of no use.</summary>
    public sealed class Mesh : IAsyncLifetime
    {
        internal TestMesh Value { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Value = await TestMesh.StartAsync(nodes: 2, peers: 1, dead: 2, silent: 2);

        public ValueTask DisposeAsync() => Value.DisposeAsync();
    }
}
