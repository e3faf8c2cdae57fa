using System.Net;
using Grpc.Core;
using Peerd.Contracts.V1;
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

    // Nothing has arrived that could be told to anybody: the session must end by itself.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pull_OwnerBreaksBeforeAnybodyKnowsTheSize_TheReplicaIsAsked(bool hasAnswered)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2);
        var sample = mesh.BlobOwnedBy(200_001, "fake-1", "fake-2");
        using var end = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        mesh.Registry.Before = _ => Task.Delay(Timeout.Infinite, end.Token).ContinueWith(_ => { }, TaskScheduler.Default);
        mesh.Peers[0].AnswerLookup = async (_, answers, call) =>
        {
            if (hasAnswered)
            {
                await answers.WriteAsync(new LookupResponse { State = LookupState.Available }, call.CancellationToken);
            }

            throw new RpcException(new Status(StatusCode.Unavailable, "the process is gone"));
        };

        var pull = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => mesh.Peers[1].LookupsAsked > 0, "the replica is asked");
        await end.CancelAsync();

        (await pull).ShouldBe(sample.Bytes);
    }

    // It answers, so that nobody takes it for dead.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pull_OwnerAnswersAndTellsNothing_GoesToTheRegistry(bool isChattering)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1, time: new QuickTime(6));
        var sample = mesh.BlobOwnedBy(200_001, mesh.Peer.Name);
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            do
            {
                await answers.WriteAsync(new LookupResponse { State = LookupState.Available }, call.CancellationToken);
                await Task.Delay(50, call.CancellationToken);
            }
            while (isChattering);

            await mesh.Peer.NeverAsync(call);
        };

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.Equal(HttpStatusCode.NotFound, (await mesh.Node.GetAsync(mesh.UnknownOwnedBy(mesh.Peer.Name).Digest)).Status);

        Assert.Equal(2, mesh.Peer.LookupsAsked);
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    // The others wait for the one that asks a slow registry for the size.
    [Fact]
    public async Task Pull_RegistryTakesItsTimeToAnswer_IsReadOnce()
    {
        // Longer than a grant of something else would wait, and shorter by so much than this one that a busy machine makes no difference.
        await using var mesh = await TestMesh.StartAsync(nodes: 2, time: new QuickTime(1.5));
        var sample = mesh.Blob(200_001);
        mesh.Registry.Before = _ => Task.Delay(2500, TestContext.Current.CancellationToken);

        var answers = await Task.WhenAll(mesh.Nodes.Select(node => node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    // Those who wait for others' slow reads find out whether their clients have to bring something, and that is the same for all contents.
    [Fact]
    public async Task Pull_SlowRegistryAndSeveralContentsOfOneRepository_EachNodeAsksOnceWhatTheClientHasToBring()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 3);
        mesh.Registry.Before = context => context.Request.Method == "HEAD" ? Task.CompletedTask : Task.Delay(1000, TestContext.Current.CancellationToken);
        var heads = 0;
        for (var pull = 0; pull < 2; pull++)
        {
            var samples = Enumerable.Range(0, 4).Select(_ => mesh.Blob(200_001)).ToList();

            await Task.WhenAll(mesh.Nodes.SelectMany(node => samples.Select(async sample => (await node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes))));

            Assert.All(samples, sample => Assert.Equal(1, mesh.Registry.RequestsFor(sample.Digest)));
            var all = mesh.Registry.Requests.Count(static request => request.Method == "HEAD");
            Assert.Equal(mesh.Registry.Requests.Count, all + ((pull + 1) * samples.Count));
            Assert.InRange(all, 1, mesh.Nodes.Count);
            Assert.True(pull == 0 || all == heads, "what is known was asked again");
            heads = all;
        }
    }

    /// <summary>Two nodes among members that are of no use.</summary>
    public sealed class Mesh : IAsyncLifetime
    {
        internal TestMesh Value { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Value = await TestMesh.StartAsync(nodes: 2, peers: 1, dead: 2, silent: 2);

        public ValueTask DisposeAsync() => Value.DisposeAsync();
    }
}
