using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>Who calls in the name of a member where nothing proves names. Loopback has as many addresses as a test needs.</summary>
public sealed class ClaimedNameTests
{
    private static readonly IPAddress Elsewhere = IPAddress.Parse("127.0.0.9");
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task Caller_ClaimsAMembersNameFromAnotherAddress_WhatTheMemberAnnouncedAndAsksStays()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var (held, asked, later) = (mesh.UnknownOwnedBy(mesh.Node.Name), mesh.UnknownOwnedBy(mesh.Node.Name), mesh.UnknownOwnedBy(mesh.Node.Name));
        using var member = new Caller(mesh.Node, IPAddress.Loopback, mesh.Peer.Name, incarnation: 1);
        using var announcing = await member.AnnounceAsync(held);
        using var asking = await member.LookUpAsync(asked.Digest);
        using var liar = new Caller(mesh.Node, Elsewhere, mesh.Peer.Name, incarnation: ulong.MaxValue);

        Assert.Equal(StatusCode.FailedPrecondition, (await Assert.ThrowsAsync<RpcException>(() => liar.AnnounceAsync())).StatusCode);
        Assert.Equal(StatusCode.Aborted, (await Assert.ThrowsAsync<RpcException>(() => liar.LookUpAsync(asked.Digest))).StatusCode);

        Assert.NotNull(mesh.Node.Directory.Find(held.Digest, mesh.Peer.Name));
        await announcing.RequestStream.WriteAsync(Caller.Announcement(2, later), TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => mesh.Node.Directory.Find(later.Digest, mesh.Peer.Name) is not null, "the member is heard as before");

        // And told as before.
        using var other = new Caller(mesh.Node, IPAddress.Loopback, "other", incarnation: 1);
        using var holding = await other.AnnounceAsync(asked);
        while (!asking.ResponseStream.Current.Holders.Any(holder => holder.Node == "other"))
        {
            Assert.True(await asking.ResponseStream.MoveNext(TestContext.Current.CancellationToken).WaitAsync(Patience));
        }
    }

    [Fact]
    public async Task Caller_ClaimsTheNameOfTheNodeItself_WhatTheNodeHoldsIsStillKnown()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(700_000, mesh.Node.Name);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        await Wait.UntilAsync(() => mesh.Node.Directory.Find(sample.Digest, mesh.Node.Name) is { Complete: true }, "the node has told itself");
        using var liar = new Caller(mesh.Node, Elsewhere, mesh.Node.Name, incarnation: ulong.MaxValue);

        await Assert.ThrowsAsync<RpcException>(() => liar.AnnounceAsync());

        Assert.NotNull(mesh.Node.Directory.Find(sample.Digest, mesh.Node.Name));
    }

    [Fact]
    public async Task Member_OthersHaveClaimedItsName_TakesItBackAndItsNextProcessFollows()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var (wrong, right, next) = (mesh.UnknownOwnedBy(mesh.Node.Name), mesh.UnknownOwnedBy(mesh.Node.Name), mesh.UnknownOwnedBy(mesh.Node.Name));
        using var liar = new Caller(mesh.Node, Elsewhere, mesh.Peer.Name, incarnation: ulong.MaxValue);
        using var lying = await liar.AnnounceAsync(wrong);
        using var asking = await liar.LookUpAsync(next.Digest);

        using var member = new Caller(mesh.Node, IPAddress.Loopback, mesh.Peer.Name, incarnation: 1);
        using var announcing = await member.AnnounceAsync(right);

        Assert.Null(mesh.Node.Directory.Find(wrong.Digest, mesh.Peer.Name));
        Assert.NotNull(mesh.Node.Directory.Find(right.Digest, mesh.Peer.Name));

        // Though he says nothing more.
        await EndsAsync(lying.ResponseStream, StatusCode.FailedPrecondition);
        await EndsAsync(asking.ResponseStream, StatusCode.Aborted);

        using var restarted = new Caller(mesh.Node, IPAddress.Loopback, mesh.Peer.Name, incarnation: 2);
        using var again = await restarted.AnnounceAsync(next);
        Assert.Null(mesh.Node.Directory.Find(right.Digest, mesh.Peer.Name));
        Assert.NotNull(mesh.Node.Directory.Find(next.Digest, mesh.Peer.Name));
    }

    // Of two streams of one process the newer one tells what is so.
    [Fact]
    public async Task Tags_ToldOnAStreamThatANewerOneHasReplaced_AreNotTaken()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        using var member = new Caller(mesh.Node, IPAddress.Loopback, mesh.Peer.Name, incarnation: 1);
        using var former = await member.AnnounceAsync();
        using var current = await member.AnnounceAsync();

        await TellAsync(former, "late");
        await TellAsync(current, "right");

        Assert.Null(Find("late"));
        Assert.NotNull(Find("right"));

        TagTarget? Find(string tag)
        {
            Assert.True(TagKey.TryCreate(TestNode.Registry, "library/test", tag, out var key));
            return mesh.Node.Get<TagDirectory>().Find(key);
        }
    }

    [Fact]
    public async Task Announce_FaultWhileTheNameIsTakenOver_IsToldAsOne()
    {
        await using var mesh = await TestMesh.StartAsync(customize: services => services.AddSingleton<IAnnounceHandler>(new FaultyAnnouncements()));
        using var member = new Caller(mesh.Node, IPAddress.Loopback, "other", incarnation: 1);

        var fault = await Assert.ThrowsAsync<RpcException>(() => member.AnnounceAsync());

        Assert.Equal(StatusCode.Unknown, fault.StatusCode);
    }

    private static async Task TellAsync(AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse> call, string tag)
    {
        var request = new AnnounceRequest
        {
            Sequence = 2,
            Tags = { new TagPointer { Registry = TestNode.Registry, Repository = "library/test", Tag = tag, Digest = Digest.OfSha256("x"u8).ToString(), MediaType = "application/vnd.oci.image.manifest.v1+json", Size = 5 } },
        };
        await call.RequestStream.WriteAsync(request, TestContext.Current.CancellationToken);
        do
        {
            Assert.True(await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken).WaitAsync(Patience));
        }
        while (call.ResponseStream.Current.Acknowledged < request.Sequence);
    }

    private static async Task EndsAsync<T>(IAsyncStreamReader<T> answers, StatusCode expected)
    {
        var end = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await answers.MoveNext(TestContext.Current.CancellationToken).WaitAsync(Patience))
            {
            }
        });
        Assert.Equal(expected, end.StatusCode);
    }

    /// <summary>Fails to take what is told, just after somebody else has taken the name.</summary>
    private sealed class FaultyAnnouncements : IAnnounceHandler, IAnnounceSession
    {
        // Who waits for it goes on before what fails does.
        private readonly TaskCompletionSource<Digest> _replaced = new();

        public IAnnounceSession? Open(Member member, IPAddress? from) => this;

        public bool Apply(AnnounceRequest request)
        {
            _replaced.SetException(new ChannelClosedException());
            throw new InvalidOperationException("fails on purpose");
        }

        public ValueTask<Digest> NextDiscardAsync(CancellationToken cancellationToken) => new(_replaced.Task);

        public void Leave()
        {
        }

        public void Dispose()
        {
        }
    }

    /// <summary>Calls a node from an address, in some name.</summary>
    private sealed class Caller(TestNode node, IPAddress address, string name, ulong incarnation) : IDisposable
    {
        private readonly GrpcChannel _channel = GrpcChannel.ForAddress(
            $"http://{node.MeshEndPoint}", new GrpcChannelOptions { HttpHandler = new SocketsHttpHandler { ConnectCallback = (context, cancel) => ConnectAsync(context, address, cancel) } });

        private PeerService.PeerServiceClient Client => new(_channel);

        private Member Self => new() { Node = name, Incarnation = incarnation };

        /// <summary>What tells that these contents are held as a whole, besides those that were told before.</summary>
        public static AnnounceRequest Announcement(ulong sequence, params SampleContent[] contents) => new()
        {
            Sequence = sequence,
            Contents = { contents.Select(content => new Availability { Digest = content.Digest.ToString(), Size = content.Bytes.Length, Complete = true }) },
        };

        /// <summary>Announces these and no others; returns when that was heard.</summary>
        public async Task<AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse>> AnnounceAsync(params SampleContent[] contents)
        {
            var call = Client.Announce(cancellationToken: TestContext.Current.CancellationToken);
            var request = Announcement(1, contents);
            (request.Member, request.Synchronized) = (Self, true);
            await call.RequestStream.WriteAsync(request, TestContext.Current.CancellationToken);
            Assert.True(await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken).WaitAsync(Patience));
            return call;
        }

        /// <summary>Asks for a content; returns when it was answered.</summary>
        public async Task<AsyncDuplexStreamingCall<LookupRequest, LookupResponse>> LookUpAsync(Digest content)
        {
            var call = Client.Lookup(cancellationToken: TestContext.Current.CancellationToken);
            await call.RequestStream.WriteAsync(
                new LookupRequest { Want = new Want { Member = Self, Digest = content.ToString(), CanReachOrigin = true } }, TestContext.Current.CancellationToken);
            Assert.True(await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken).WaitAsync(Patience));
            return call;
        }

        public void Dispose() => _channel.Dispose();

        private static async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, IPAddress from, CancellationToken cancellationToken)
        {
            var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            socket.Bind(new IPEndPoint(from, 0));
            await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
    }
}
