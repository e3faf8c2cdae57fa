using Google.Protobuf;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>Announce and Lookup streams of a caller that does not keep to the protocol.</summary>
public sealed class MalformedStreamTests
{
    private const string SomeDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [Fact]
    public async Task Announce_WithoutMember_IsInvalidArgument()
    {
        await using var mesh = await TestMesh.StartAsync();
        foreach (var first in new AnnounceRequest[] { new(), new() { Sequence = 1 }, new() { Member = new Member() }, new() { Member = new Member { Incarnation = 5 }, Synchronized = true } })
        {
            Assert.Equal(StatusCode.InvalidArgument, await AnnounceAsync(mesh.Node, first));
        }
    }

    [Fact]
    public async Task Call_NameLongerThanNamesAre_IsInvalidArgument()
    {
        await using var mesh = await TestMesh.StartAsync();
        var member = new Member { Node = new string('n', 254), Incarnation = 1 };

        Assert.Equal(StatusCode.InvalidArgument, await AnnounceAsync(mesh.Node, new AnnounceRequest { Sequence = 1, Member = member }));
        using var lookup = new PeerService.PeerServiceClient(mesh.Node.Channel).Lookup();
        Assert.Equal(StatusCode.InvalidArgument, await StatusOfAsync(lookup, new LookupRequest { Want = new Want { Member = member, Digest = SomeDigest } }));
    }

    // A message takes many times its size in memory.
    [Fact]
    public async Task Call_MessageLargerThanAnyNodeSends_IsResourceExhausted()
    {
        await using var mesh = await TestMesh.StartAsync();
        var client = new PeerService.PeerServiceClient(mesh.Node.Channel);
        var member = new Member { Node = "x", Incarnation = 1 };
        var type = new string('x', ProtocolConstants.MaxRequestBytes);

        using var announce = client.Announce();
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(announce, new AnnounceRequest { Sequence = 1, Member = member, Contents = { new Availability { Digest = SomeDigest, Size = 1, MediaType = type } } }));
        using var many = client.Announce();
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(many, new AnnounceRequest { Sequence = 1, Member = member, Contents = { Enumerable.Repeat(new Availability(), 20_000) } }));
        var whole = new PieceRun { Count = 1 };
        using var runs = client.Announce();
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(runs, new AnnounceRequest { Sequence = 1, Member = member, Contents = { new Availability { Digest = SomeDigest, Size = 1, Pieces = { Enumerable.Repeat(whole, 100_000) } } } }));
        using var lookup = client.Lookup();
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(lookup, new LookupRequest { Want = new Want { Member = member, Digest = SomeDigest, Have = { Enumerable.Repeat(new PieceRun(), ProtocolConstants.MaxRequestBytes / 2) } } }));
        var tooMany = new Want[]
        {
            new() { Have = { Enumerable.Repeat(new PieceRun(), 40_000) } },
            new() { Reading = { Enumerable.Repeat(new SegmentRun(), 20_000) } },
            new() { Fetching = { new Assignment { Segments = { Enumerable.Repeat(new SegmentRun(), 20_000) } } } },
            new() { Wanted = { Enumerable.Repeat(new PieceRun(), 20_000) } },
        };
        foreach (var want in tooMany)
        {
            (want.Member, want.Digest) = (member, SomeDigest);
            Assert.Equal(StatusCode.InvalidArgument, await LookupAsync(mesh.Node, new LookupRequest { Want = want }));
        }

        var first = new LookupRequest { Want = new Want { Member = member, Digest = SomeDigest, CanReachOrigin = true } };
        foreach (var report in new GrantReport[]
        {
            new() { Checksums = { Enumerable.Repeat(new PieceChecksums(), 20_000) } },
            new() { Arrived = { Enumerable.Repeat(new PieceRun(), 20_000) } },
            new() { GivenBack = { Enumerable.Repeat(new SegmentRun(), 20_000) } },
            new() { Reading = { Enumerable.Repeat(new SegmentRun(), 20_000) } },
            new() { Failed = { Enumerable.Repeat(new FailedFetch(), 20_000) } },
        })
        {
            Assert.Equal(StatusCode.InvalidArgument, await LookupAsync(mesh.Node, first, new LookupRequest { Report = report }));
        }

        using var fetch = client.FetchRange();
        Assert.Equal(StatusCode.ResourceExhausted, await StatusOfAsync(fetch, new FetchRangeRequest { Range = new FetchRange { Id = 1, Digest = new string('x', 1024) } }));
        Assert.Equal(0, mesh.Node.Directory.Count);
    }

    // What is refused waits for nothing, or as many as a caller may open would be held meanwhile.
    [Fact]
    public async Task Announce_FirstMessageHasTooMuch_IsRefusedBeforeItWaitsForAPlace()
    {
        await using var mesh = await TestMesh.StartAsync();
        var streams = mesh.Node.Get<CallerStreams>();
        var places = Enumerable.Range(0, CallerStreams.MaxAnnounces).Select(_ => streams.Enter("x", isLookup: false)).ToList();
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce();

        await call.RequestStream.WriteAsync(new AnnounceRequest { Sequence = 1, Member = new Member { Node = "x", Incarnation = 1 }, Contents = { Enumerable.Repeat(new Availability(), 20_000) } });

        var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Contains("a message may have", refused.Status.Detail, StringComparison.Ordinal);
        places.ForEach(place => place.Dispose());
    }

    [Fact]
    public async Task Lookup_OfTagsWhileTheCallerHasUsedUpWhatHeMay_IsResourceExhausted()
    {
        await using var mesh = await TestMesh.StartAsync();
        var streams = mesh.Node.Get<CallerStreams>();
        var places = Enumerable.Range(0, CallerStreams.MaxLookups).Select(_ => streams.Enter("x", isLookup: true)).ToList();
        var asked = new LookupRequest { Tag = new WantTag { Registry = "reg.test", Repository = "a", Tag = "v1" } };

        Assert.Equal(StatusCode.ResourceExhausted, await StatusAsync());

        places.ForEach(place => place.Dispose());
        Assert.Null(await StatusAsync());

        async Task<StatusCode?> StatusAsync()
        {
            using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Lookup();
            await call.RequestStream.WriteAsync(asked);
            return (await Record.ExceptionAsync(() => call.ResponseStream.MoveNext(CancellationToken.None)) as RpcException)?.StatusCode;
        }
    }

    [Fact]
    public async Task Announce_OlderProcessOfTheNode_IsFailedPrecondition()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var newer = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce();
        await newer.RequestStream.WriteAsync(new AnnounceRequest { Sequence = 1, Member = new Member { Node = "x", Incarnation = 2 } });
        Assert.True(await newer.ResponseStream.MoveNext(CancellationToken.None));

        Assert.Equal(StatusCode.FailedPrecondition, await AnnounceAsync(mesh.Node, new AnnounceRequest { Sequence = 1, Member = new Member { Node = "x", Incarnation = 1 } }));
    }

    [Fact]
    public async Task Announce_ImpossibleContents_AreIgnoredAndTheRestIsTaken()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = TestMesh.NewSample(300_000);
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce();

        await call.RequestStream.WriteAsync(new AnnounceRequest
        {
            Sequence = 9,
            Member = new Member { Node = "x", Incarnation = 2 },
            Withdrawn = { "nonsense", SomeDigest },
            Contents =
            {
                new Availability { Digest = "nonsense", Size = 1, Complete = true },
                new Availability { Digest = SomeDigest, Size = -1, Complete = true },
                new Availability { Digest = SomeDigest, Size = long.MaxValue, Complete = true },
                new Availability
                {
                    Digest = sample.Digest.ToString(),
                    Size = sample.Bytes.Length,
                    Pieces = { new PieceRun { First = 1, Count = uint.MaxValue }, new PieceRun { First = uint.MaxValue, Count = uint.MaxValue } },
                },
            },
        });

        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(9u, call.ResponseStream.Current.Acknowledged);
        Assert.Equal(1, mesh.Node.Directory.Count);
        Assert.Equal([(1, sample.Layout.PieceCount - 1)], mesh.Node.Directory.Find(sample.Digest, "x")!.Pieces.Runs());
    }

    [Fact]
    public async Task Lookup_FirstMessageThatIsNoWant_IsInvalidArgument()
    {
        await using var mesh = await TestMesh.StartAsync();
        var member = new Member { Node = "x", Incarnation = 1 };
        var firsts = new[]
        {
            new LookupRequest(),
            new LookupRequest { Report = new GrantReport { Size = 5 } },
            new LookupRequest { Want = new Want() },
            new LookupRequest { Want = new Want { Member = member, Digest = "nonsense" } },
            new LookupRequest { Want = new Want { Digest = SomeDigest } },
            new LookupRequest { Want = new Want { Member = new Member(), Digest = SomeDigest } },
            new LookupRequest { Want = new Want { Member = member, Digest = SomeDigest, Size = -1 } },
            new LookupRequest { Want = new Want { Member = member, Digest = SomeDigest, Size = long.MaxValue } },
        };
        foreach (var first in firsts)
        {
            Assert.Equal(StatusCode.InvalidArgument, await LookupAsync(mesh.Node, first));
        }
    }

    [Fact]
    public async Task Lookup_ImpossibleReport_EndsThatLookupAndNoOther()
    {
        await using var mesh = await TestMesh.StartAsync();
        var want = new LookupRequest { Want = new Want { Member = new Member { Node = "x", Incarnation = 1 }, Digest = SomeDigest, CanReachOrigin = true } };
        foreach (var report in new[]
        {
            new GrantReport { Size = long.MaxValue },
            new GrantReport { Size = -5 },
        })
        {
            Assert.Equal(StatusCode.InvalidArgument, await LookupAsync(mesh.Node, want, new LookupRequest { Report = report }));
        }

        // Numbers out of bounds mean nothing; the lookup goes on.
        var sample = TestMesh.NewSample(300_000);
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Lookup();
        await call.RequestStream.WriteAsync(new LookupRequest
        {
            Want = new Want
            {
                Member = new Member { Node = "x", Incarnation = 1 },
                Digest = sample.Digest.ToString(),
                Size = sample.Bytes.Length,
                Have = { new PieceRun { First = uint.MaxValue, Count = uint.MaxValue } },
            },
        });
        await call.RequestStream.WriteAsync(new LookupRequest
        {
            Report = new GrantReport
            {
                GivenBack = { new SegmentRun { First = uint.MaxValue, Count = uint.MaxValue }, new SegmentRun { First = 0, Count = uint.MaxValue } },
                Checksums = { new PieceChecksums { Piece = uint.MaxValue, Frames = { 1, 2, 3 } }, new PieceChecksums { Piece = 1 } },
                Arrived = { new PieceRun { First = 0, Count = 1 }, new PieceRun { First = 4_000_000_000, Count = 2_000_000_000 } },
            },
        });
        await Wait.UntilAsync(() => mesh.Node.Directory.Find(sample.Digest, "x")?.Pieces.Count == 1, "the piece that exists is in the directory");
    }

    private static async Task<StatusCode> StatusOfAsync<TRequest, TResponse>(AsyncDuplexStreamingCall<TRequest, TResponse> call, TRequest first)
        where TRequest : IMessage
    {
        try
        {
            await call.RequestStream.SendAsync(first, CancellationToken.None);
        }
        catch (Exception e) when (e is RpcException or IOException)
        {
            // Refused while it is being sent: what is read says more.
        }

        try
        {
            await call.ResponseStream.MoveNext(CancellationToken.None);
            return StatusCode.OK;
        }
        catch (RpcException e)
        {
            return e.StatusCode;
        }
    }

    private static async Task<StatusCode> AnnounceAsync(TestNode node, AnnounceRequest first)
    {
        using var call = new PeerService.PeerServiceClient(node.Channel).Announce(deadline: DateTime.UtcNow + Wait.Longest);
        await call.RequestStream.WriteAsync(first);
        return (await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext(CancellationToken.None))).StatusCode;
    }

    private static async Task<StatusCode> LookupAsync(TestNode node, params LookupRequest[] requests)
    {
        using var call = new PeerService.PeerServiceClient(node.Channel).Lookup(deadline: DateTime.UtcNow + Wait.Longest);
        foreach (var request in requests)
        {
            await call.RequestStream.WriteAsync(request);
        }

        var broken = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await call.ResponseStream.MoveNext(CancellationToken.None))
            {
            }
        });
        return broken.StatusCode;
    }
}
