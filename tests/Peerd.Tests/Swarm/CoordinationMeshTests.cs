using System.Net;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;
using Peerd.Tests.Mesh;
using Member = Peerd.Node.Membership.Member;

namespace Peerd.Tests.Swarm;

public sealed class CoordinationMeshTests : IAsyncLifetime
{
    private readonly PeersSetup _setup = new("self");

    public async ValueTask InitializeAsync() => await _setup.StartAsync();

    public ValueTask DisposeAsync() => _setup.DisposeAsync();

    [Fact]
    public async Task HasMovedLately_AnotherHasBecomeTheOwner_ForAWhileAndAsLongAsItIsNotSilent()
    {
        var mesh = new CoordinationMesh(_setup.Rings, _setup.Self, _setup.Peers, NullLogger<CoordinationMesh>.Instance);
        var (moved, stayed) = (PeersSetup.ContentNearerTo("other", than: "self"), PeersSetup.ContentNearerTo("self", than: "other"));
        Assert.False(mesh.HasMovedLately(moved));

        await _setup.TellAsync("self", "other");
        Assert.True(mesh.HasMovedLately(moved));
        Assert.False(mesh.HasMovedLately(stayed));

        _setup.Peers.Find("other")!.IsSilent = true;
        Assert.False(mesh.HasMovedLately(moved));
        _setup.Peers.Find("other")!.IsSilent = false;
        Assert.True(mesh.HasMovedLately(moved));

        _setup.Time.Advance(TimeSpan.FromSeconds(30));
        Assert.False(mesh.HasMovedLately(moved));
    }

    [Fact]
    public async Task AskOtherOwner_ReplicaAnswers_IsToldWhatItKnowsAndOnlyObserved()
    {
        await using var replica = await FakePeer.StartAsync("other");
        await using var setup = new PeersSetup(TestMembership.MemberOf("self"), new Member("other", new DnsEndPoint(replica.EndPoint.Address.ToString(), replica.EndPoint.Port), string.Empty));
        await setup.StartAsync();
        var content = PeersSetup.ContentNearerTo("self", than: "other");
        Want? asked = null;
        replica.AnswerLookup = async (requests, answers, call) =>
        {
            await requests.MoveNext(call.CancellationToken);
            asked = requests.Current.Want;
            await answers.WriteAsync(new LookupResponse { State = LookupState.Available, Size = 5 }, call.CancellationToken);
            await replica.NeverAsync(call);
        };
        var mesh = new CoordinationMesh(setup.Rings, setup.Self, setup.Peers, NullLogger<CoordinationMesh>.Instance);

        var told = await mesh.AskOtherOwnerAsync(content, TestContext.Current.CancellationToken);

        Assert.Equal(("other", 5L, false), (told?.Node, told?.Known.Size, told?.IsNearer));
        Assert.Equal(("self", content.ToString(), true), (asked?.Member.Node, asked?.Digest, asked?.Observes));
    }
}
