using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Mesh;

namespace Peerd.Tests.Swarm;

/// <summary>A node asks itself, as the content's owner, until the ring names another one.</summary>
public sealed class OwnerLinkTests : IAsyncLifetime
{
    private readonly PeersSetup _setup = new("self");
    private readonly ListeningOwner _owner = new();
    private readonly MeshDrain _drain;
    private OwnerLink? _link;

    public OwnerLinkTests() => _drain = new MeshDrain(_setup.Time);

    public async ValueTask InitializeAsync()
    {
        await _setup.StartAsync();
        var digest = PeersSetup.ContentNearerTo("other", than: "self");
        _link = new OwnerLink(digest, new SilentUser(digest), _setup.Rings, _setup.Self, _setup.Peers, _owner, _drain, new LookupMetrics(_setup.Meters), _setup.Time, NullLogger.Instance);
        await Wait.UntilAsync(() => _owner.Sessions == 1, "the owner is asked");
    }

    public async ValueTask DisposeAsync()
    {
        await _link!.DisposeAsync();
        await _setup.DisposeAsync();
        _drain.Dispose();
    }

    [Fact]
    public async Task RingNamesAnother_TheFormerOwnerHearsAWhileAndThenThatTheReaderGoes()
    {
        await _setup.TellAsync("self", "other");
        _link!.Report(new GrantReport { MediaType = "late" });
        await Wait.UntilAsync(() => _owner.Heard.Count == 1, "what comes meanwhile is told");
        Assert.Equal("late", _owner.Heard.Single().Request.Report.MediaType);

        await LingerAsync();

        Assert.Equal([1, 1], _owner.Heard.Select(static heard => heard.Session));
    }

    [Fact]
    public async Task RingNamesAnotherForAMoment_TheSessionGoesOn()
    {
        await _setup.TellAsync("self", "other");
        await _setup.Time.ArmedAsync(OwnerLink.Lingering);
        await _setup.TellAsync("self");
        _setup.Time.Advance(OwnerLink.Lingering);

        // The next change finds the first session, which has heard of none.
        _link!.Report(new GrantReport { MediaType = "later" });
        await Wait.UntilAsync(() => !_owner.Heard.IsEmpty, "it is told as before");
        Assert.Equal("later", _owner.Heard.Single().Request.Report.MediaType);
        await _setup.TellAsync("self", "other");
        await LingerAsync();
        Assert.Equal([1, 1], _owner.Heard.Select(static heard => heard.Session));
    }

    // A small content may be here as a whole before its owner has said anything: were what has arrived not told, it would be read again.
    [Fact]
    public async Task Dispose_OwnerHasNotAnsweredYet_HearsWhatWasReported()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var digest = mesh.UnknownOwnedBy(mesh.Peer.Name).Digest;
        var (isAsked, hasHeard) = (new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously), new TaskCompletionSource<string>(TaskCreationOptions.RunContinuationsAsynchronously));
        mesh.Peer.AnswerLookup = async (asked, _, call) =>
        {
            var told = string.Empty;
            while (await asked.MoveNext(call.CancellationToken))
            {
                told += asked.Current.Report?.MediaType;
                if (told.Length == 1)
                {
                    isAsked.TrySetResult();
                }
            }

            hasHeard.TrySetResult(told);
        };
        var link = Open(mesh, new SilentUser(digest), digest);
        link.Report(new GrantReport { MediaType = "x" });
        await isAsked.Task.WaitAsync(Wait.Longest);
        for (var i = 1; i < 100; i++)
        {
            link.Report(new GrantReport { MediaType = "x" });
        }

        await link.DisposeAsync();

        Assert.Equal(new string('x', 100), await hasHeard.Task.WaitAsync(Wait.Longest));
    }

    // The next one may be long in coming.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pushed_ByAnotherMember_IsEmptiedUnlessItIsKept(bool isKept)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var digest = mesh.UnknownOwnedBy(mesh.Peer.Name).Digest;
        mesh.Peer.AnswerLookup = async (asked, answers, call) =>
        {
            await asked.MoveNext(call.CancellationToken);
            await answers.WriteAsync(new LookupResponse { Gone = { "first" } });
            await answers.WriteAsync(new LookupResponse { Gone = { "second" } });
            await Task.Delay(Timeout.Infinite, call.CancellationToken);
        };
        var user = new SilentUser(digest, isKept);
        await using var link = Open(mesh, user, digest);

        await Wait.UntilAsync(() => user.Heard.Count == 2, "both are heard");

        Assert.Equal(isKept ? ["first"] : [], user.Heard.First().Gone);
    }

    [Fact]
    public async Task Pushed_BeforeTheSizeIsKnown_CountsOnceItIs()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(700_000, mesh.Peer.Name);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var message in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(message);
            }
        };
        mesh.Peer.AnswerLookup = async (_, answers, call) =>
        {
            var all = new SegmentRun { Count = (uint)sample.Layout.SegmentCount };
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Assigned = { new Assignment { Node = mesh.Peer.Name, Segments = { all } } } });
            await answers.WriteAsync(new LookupResponse { Size = sample.Bytes.Length });
            await mesh.Peer.NeverAsync(call);
        };

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);

        Assert.Equal(0, mesh.Registry.BytesOf(sample.Digest));
    }

    private static OwnerLink Open(TestMesh mesh, SilentUser user, Digest digest)
    {
        var node = mesh.Node;
        return new OwnerLink(
            digest, user, node.Get<RingSource>(), node.Get<NodeIdentity>(), node.Get<PeerConnections>(), node.Get<ILookupHandler>(), node.Get<MeshDrain>(), node.Get<LookupMetrics>(), TimeProvider.System, NullLogger.Instance);
    }

    // A former owner deals for as long as those linger who ask it, and must be reached until all have told that they go.
    [Fact]
    public void Lingering_WhatElseHappensAfterARingChange_ComesLater()
    {
        Assert.InRange(OwnerLink.Lingering, TimeSpan.Zero, Announcer.WithdrawPause);
        Assert.InRange(OwnerLink.Lingering + OwnerLink.MoveTimeout, TimeSpan.Zero, PeerConnections.Farewell / 2);
    }

    private async Task LingerAsync()
    {
        await _setup.Time.PassAsync(OwnerLink.Lingering);
        await Wait.UntilAsync(() => _owner.Heard.Any(static heard => heard.Request.Report is { Moving: true }), "the owner hears that the reader goes");
    }
}
