using System.Net;
using CsCheck;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.Extensions.Logging;
using Peerd.Contracts.V1;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>Members that send any messages in any order, as callers and as holders: the node goes on, and what it gives its clients is right.</summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed class HostileStreamFuzzTests
{
    private const int Size = 300_000;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private static readonly SampleContent Known = new(seed: 77, Size);

    internal static readonly Gen<uint> Number = Gen.OneOf(Gen.UInt[0, 6], Gen.OneOf(uint.MaxValue, uint.MaxValue - 1, 1u << 31, 1u << 20), Gen.UInt);

    internal static readonly Gen<long> Long = Gen.OneOf(Gen.OneOf(0, 1, Size, -1, long.MaxValue, long.MinValue, 1L << 40), Gen.Long[0, Size]);

    internal static readonly Gen<string> Digest = Gen.OneOf(Known.Digest.ToString(), Known.Digest.ToString(), "sha256:" + new string('a', 64), "", "nonsense", "sha256:", new string('x', 5000));

    internal static readonly Gen<string> Name = Gen.OneOf("x", "y", "node-1", "fake-1", "", new string('n', 5000), "a/../b\n");

    private static readonly Gen<Member?> Members = Gen.Select(Name, Gen.ULong[0, 3], (node, incarnation) => new Member { Node = node, Incarnation = incarnation }).Null();

    internal static readonly Gen<PieceRun[]> Pieces = Gen.Select(Number, Number, (first, count) => new PieceRun { First = first, Count = count }).Array[0, 4];

    internal static readonly Gen<SegmentRun[]> Segments = Gen.Select(Number, Number, (first, count) => new SegmentRun { First = first, Count = count }).Array[0, 4];

    internal static readonly Gen<PieceChecksums[]> Checksums =
        Gen.Select(Number, Gen.ULong.Array[0, 5], (piece, frames) => new PieceChecksums { Piece = piece, Frames = { frames } }).Array[0, 3];

    private static readonly Gen<Availability> Available =
        from digest in Digest
        from size in Long
        from complete in Gen.Bool
        from replace in Gen.Bool
        from pieces in Pieces
        from order in Number.Array[0, 4]
        from type in Name
        select new Availability { Digest = digest, Size = size, MediaType = type, Complete = complete, Replace = replace, Pieces = { pieces }, StartupOrder = { order } };

    private static readonly Gen<TagPointer> Tag =
        from name in Name
        from digest in Digest
        from size in Long
        from age in Gen.ULong
        select new TagPointer { Registry = name, Repository = name, Tag = name, Digest = digest, Size = size, AgeMs = age };

    private static readonly Gen<AnnounceRequest> Announcement =
        from sequence in Gen.ULong[0, 4]
        from member in Members
        from contents in Available.Array[0, 3]
        from withdrawn in Digest.Array[0, 2]
        from mismatched in Digest.Array[0, 2]
        from tags in Tag.Array[0, 2]
        from synchronized in Gen.Bool
        select Fill(new AnnounceRequest { Sequence = sequence, Contents = { contents }, Withdrawn = { withdrawn }, Mismatched = { mismatched }, Tags = { tags }, Synchronized = synchronized }, member);

    private static readonly Gen<LookupRequest> Wanted =
        from member in Members
        from digest in Digest
        from size in Long
        from flags in Gen.Int[0, 7]
        from have in Pieces
        from wanted in Pieces
        from reading in Segments
        from node in Name
        select new LookupRequest
        {
            Want = Fill(
                new Want
                {
                    Digest = digest,
                    Size = size,
                    CanReachOrigin = (flags & 1) != 0,
                    Continued = (flags & 2) != 0,
                    Observes = (flags & 4) != 0,
                    Have = { have },
                    Wanted = { wanted },
                    Reading = { reading },
                    Fetching = { new Assignment { Node = node, Segments = { reading } } },
                },
                member),
        };

    private static readonly Gen<LookupRequest> Report =
        from size in Long
        from arrived in Pieces
        from back in Segments
        from reading in Segments
        from checksums in Checksums
        from failed in Gen.Select(Number, Name, Gen.Int[0, 9], (segment, node, reason) => new FailedFetch { Segment = segment, Node = node, Reason = (FetchFailure)reason }).Array[0, 3]
        from originFailed in Gen.Bool
        from pause in Number
        select new LookupRequest
        {
            Report = new GrantReport { Size = size, Arrived = { arrived }, GivenBack = { back }, Reading = { reading }, Checksums = { checksums }, Failed = { failed }, OriginFailed = originFailed, OriginPauseMs = pause },
        };

    private static readonly Gen<FetchRangeRequest> Fetch =
        from id in Gen.UInt[0, 3]
        from cancels in Gen.Bool
        from digest in Digest
        from offset in Long
        from length in Long
        from deadline in Number
        from flags in Gen.Int[0, 7]
        select cancels
            ? new FetchRangeRequest { Cancel = new CancelRange { Id = id } }
            : new FetchRangeRequest { Range = new FetchRange { Id = id, Digest = digest, Offset = offset, Length = length, DeadlineMs = deadline, Wait = (flags & 1) != 0, TellPieces = (flags & 2) != 0, Urgent = (flags & 4) != 0 } };

    private static readonly Gen<byte[]> Raw = Gen.Byte.Array[0, 40];

    private static readonly Gen<(byte[][] Announce, byte[][] Lookup, byte[][] Fetch)> Streams = Gen.Select(
        Messages(Announcement),
        Messages(Gen.OneOf(Wanted, Wanted, Report, Gen.OneOf(Name, Name).Select(name => new LookupRequest { Tag = new WantTag { Registry = name, Repository = name, Tag = name } }))),
        Messages(Fetch));

    private enum Lie
    {
        Right,
        WrongByte,
        WrongChecksum,
        WrongOffset,
        WrongId,
        WrongSize,
        Short,
        Empty,
        Twice,
        Missing,
        End,
        Waiting,
        Nothing,
    }

    [Fact]
    public async Task Call_AnyMessages_NodeServesOn() => await Streams.SampleAsync(
        async streams =>
        {
            await using var mesh = await TestMesh.StartAsync();
            mesh.Registry.AddBlob(Known.Bytes);
            if (streams.Fetch.Length % 2 == 0)
            {
                (await mesh.Node.GetAsync(Known.Digest)).ShouldBe(Known.Bytes);
            }

            await Task.WhenAll(
                SendAsync(mesh.Node, "Announce", streams.Announce),
                SendAsync(mesh.Node, "Lookup", streams.Lookup),
                SendAsync(mesh.Node, "FetchRange", streams.Fetch));

            // What they have lied about the node may refuse for a while, and may not get wrong; all else it gives.
            var answer = await mesh.Node.GetAsync(Known.Digest);
            if (answer.Status is not (HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout) && answer.IsComplete)
            {
                answer.ShouldBe(Known.Bytes);
            }

            var other = mesh.Blob(Size);
            (await mesh.Node.GetAsync(other.Digest)).ShouldBe(other.Bytes);
            Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Error);
        },
        iter: 12,
        threads: 1);

    [Fact]
    public async Task Answer_AnyMessages_ReadIsRight()
    {
        var asked = 0;
        await Gen.Enum<Lie>().Array[1, 12].Array[1, 4].SampleAsync(
            async plans =>
            {
                await using var mesh = await TestMesh.StartAsync(peers: 1, settings: ["--Peerd:Mesh:IdleTimeout=200ms"]);
                var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
                var ranges = 0;
                mesh.Peer.Answer = async (range, answers, call) =>
                {
                    Interlocked.Increment(ref asked);
                    var plan = plans[(Interlocked.Increment(ref ranges) - 1) % plans.Length];
                    foreach (var answer in FakePeer.Honest(range, sample).Zip(plan.Concat(Enumerable.Repeat(Lie.Right, 1000))).SelectMany(pair => Change(pair.First, pair.Second, range)))
                    {
                        await answers.WriteAsync(answer);
                    }
                };
                await mesh.Peer.AnnounceAsync(mesh.Node, sample);

                (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
                (await mesh.Node.GetAsync(sample.Digest, "bytes=-1000")).ShouldBe(sample.Bytes.AsSpan(Size - 1000));
            },
            iter: 6,
            threads: 1);

        // Not each time: so short a timeout may be over before there is a connection.
        Assert.NotEqual(0, asked);
    }

    private static IEnumerable<FetchRangeResponse> Change(FetchRangeResponse answer, Lie lie, FetchRange range)
    {
        var changed = answer.Clone();
        switch (lie)
        {
            case Lie.WrongByte or Lie.Short or Lie.Empty when changed.Frame is { } frame:
                var data = frame.Data.ToByteArray();
                data[^1] ^= 1;
                frame.Data = lie == Lie.WrongByte ? ByteString.CopyFrom(data) : lie == Lie.Short ? ByteString.CopyFrom(data.AsSpan(0, data.Length / 2)) : ByteString.Empty;
                return [changed];
            case Lie.WrongChecksum when changed.Frame is { } frame:
                frame.Checksum++;
                return [changed];
            case Lie.WrongOffset when changed.Frame is { } frame:
                frame.Offset += frame.Data.Length;
                return [changed];
            case Lie.WrongSize when changed.Head is { } head:
                head.Size *= 2;
                return [changed];
            case Lie.WrongId:
                changed.Id += 7;
                return [changed];
            case Lie.Twice:
                return [changed, changed];
            case Lie.Missing:
                return [];
            case Lie.End:
                return [FakePeer.End(range, RangeStatus.Complete), changed];
            case Lie.Waiting:
                return [new FetchRangeResponse { Id = range.Id, Waiting = new RangeWaiting() }, changed];
            case Lie.Nothing:
                return [new FetchRangeResponse { Id = range.Id }, changed];
            default:
                return [changed];
        }
    }

    // Mostly messages, in between bytes that are none.
    private static Gen<byte[][]> Messages<T>(Gen<T> message)
        where T : IMessage =>
        Gen.Frequency((20, message.Select(it => it.ToByteArray())), (1, Raw)).Array[0, 6];

    // Whatever the node makes of it: an answer, a status or silence.
    private static async Task SendAsync(TestNode node, string method, byte[][] messages)
    {
        using var patience = new CancellationTokenSource(Patience);
        var bytes = Marshallers.Create<byte[]>(it => it, it => it);
        using var call = node.Channel.CreateCallInvoker().AsyncDuplexStreamingCall(
            new Method<byte[], byte[]>(MethodType.DuplexStreaming, "peerd.v1.PeerService", method, bytes, bytes), host: null, new CallOptions(cancellationToken: patience.Token));
        try
        {
            foreach (var message in messages)
            {
                await call.RequestStream.WriteAsync(message, patience.Token);
            }

            await call.RequestStream.CompleteAsync();
            while (await call.ResponseStream.MoveNext(patience.Token))
            {
                // Nothing that it says matters here.
            }
        }
        catch (Exception e) when (e is RpcException or IOException or InvalidOperationException or OperationCanceledException)
        {
            // Refused, maybe while a message was being sent, or it waits for more.
        }
    }

    private static AnnounceRequest Fill(AnnounceRequest request, Member? member)
    {
        request.Member = member;
        return request;
    }

    private static Want Fill(Want want, Member? member)
    {
        want.Member = member;
        return want;
    }
}
