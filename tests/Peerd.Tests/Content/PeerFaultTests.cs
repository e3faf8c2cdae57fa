using Grpc.Core;
using Peerd.Contracts.V1;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>Pulls from a node whose only peer says that it holds the content, and does not keep its word.</summary>
public sealed class PeerFaultTests(PeerFaultTests.Pulls pulls) : IClassFixture<PeerFaultTests.Pulls>
{
    private const int Size = (1024 * 1024) + 5;

    [Theory]
    [InlineData(PeerFault.None, 0)]
    [InlineData(PeerFault.CorruptBytes, 1)]
    [InlineData(PeerFault.ForgedFrame, 1)]
    [InlineData(PeerFault.FrameBeyondRange, 1)]
    [InlineData(PeerFault.SkippedFrame, 1)]
    [InlineData(PeerFault.RepeatedFrame, 1)]
    [InlineData(PeerFault.ShortFrame, 1)]
    [InlineData(PeerFault.LongFrame, 1)]
    [InlineData(PeerFault.WrongSize, 0)]
    [InlineData(PeerFault.OtherId, 1)]
    [InlineData(PeerFault.EarlyEnd, 1)]
    [InlineData(PeerFault.Stall, 0)]
    [InlineData(PeerFault.StallMidRange, 0)]
    [InlineData(PeerFault.Vanish, 0)]
    [InlineData(PeerFault.HugeMessage, 0)]
    [InlineData(PeerFault.NoStatus, 0)]
    [InlineData(PeerFault.Busy, 0)]
    [InlineData(PeerFault.NotHeld, 0)]
    [InlineData(PeerFault.Refuse, 0)]
    public async Task Pull_FromThatPeer_IsRightAndWrongBytesAreCounted(PeerFault fault, int leastFailures)
    {
        var result = await pulls.Of(fault);

        result.Answer.ShouldBe(result.Sample.Bytes);
        Assert.True(fault == PeerFault.Refuse || result.OffsetsAsked.Count > 0, "the peer was not asked at all");
        Assert.True(leastFailures == 0 ? result.IntegrityFailures == 0 : result.IntegrityFailures >= leastFailures, $"{result.IntegrityFailures} failures were counted");

        // Where each attempt brings a frame before it fails, the next one goes on behind it, and the origin need not be read.
        Assert.True(fault is PeerFault.StallMidRange or PeerFault.RepeatedFrame || (fault == PeerFault.None) == (result.OriginBytes == 0), $"{result.OriginBytes} bytes from the origin");
        Assert.True(result.IsVerified);
    }

    private static IEnumerable<FetchRangeResponse> Answers(PeerFault fault, FetchRange range, SampleContent sample)
    {
        var honest = FakePeer.Honest(range, sample).ToList();
        var first = honest[1].Frame;
        var data = first.Data.ToByteArray();
        switch (fault)
        {
            case PeerFault.CorruptBytes:
                data[^1] ^= 1;
                honest[1] = new FetchRangeResponse { Id = range.Id, Frame = new Frame { Offset = first.Offset, Checksum = first.Checksum, Data = Google.Protobuf.ByteString.CopyFrom(data) } };
                return honest;
            case PeerFault.ForgedFrame:
                data[0] ^= 1;
                honest[1] = FakePeer.FrameOf(range, first.Offset, data);
                return honest;
            case PeerFault.FrameBeyondRange:
                honest.Insert(1, FakePeer.FrameOf(range, range.Offset + range.Length, data));
                return honest;
            case PeerFault.SkippedFrame:
                honest.RemoveAt(1);
                return honest;
            case PeerFault.RepeatedFrame:
                honest.Insert(2, honest[1]);
                return honest;
            case PeerFault.ShortFrame:
                honest[1] = FakePeer.FrameOf(range, first.Offset, data[..^1]);
                return honest;
            case PeerFault.LongFrame:
                honest[1] = FakePeer.FrameOf(range, first.Offset, [.. data, 0]);
                return honest;
            case PeerFault.WrongSize:
                honest[0].Head.Size++;
                return honest;
            case PeerFault.OtherId:
                honest.ForEach(answer => answer.Id++);
                return honest;
            case PeerFault.EarlyEnd:
                return [honest[0], honest[^1]];
            case PeerFault.HugeMessage:
                return [honest[0], FakePeer.FrameOf(range, first.Offset, new byte[5 << 20])];
            case PeerFault.NoStatus:
                return [honest[0], FakePeer.End(range, RangeStatus.Unspecified)];
            case PeerFault.Busy:
                return [FakePeer.End(range, RangeStatus.Busy, "fake-1", "node-1", "nobody", "")];
            case PeerFault.NotHeld:
                return [FakePeer.End(range, RangeStatus.NotHeld, "nobody")];
            case PeerFault.Stall:
                return honest[..1];
            case PeerFault.StallMidRange or PeerFault.Vanish:
                return honest[..2];
            default:
                return honest;
        }
    }

    /// <summary>All pulls at the same time, each in a mesh of its own: some wait for timeouts.</summary>
    public sealed class Pulls : IAsyncLifetime
    {
        private readonly Dictionary<PeerFault, Task<Result>> _pulls = [];
        private FakeRegistry? _registry;

        internal Task<Result> Of(PeerFault fault) => _pulls[fault];

        public async ValueTask InitializeAsync()
        {
            _registry = await FakeRegistry.StartAsync();

            // A node that runs this code for the first time is slow enough to be taken for silent, and its owner with it.
            await PullAsync(PeerFault.None, _registry);
            foreach (var fault in Enum.GetValues<PeerFault>())
            {
                _pulls.Add(fault, PullAsync(fault, _registry));
            }
        }

        public async ValueTask DisposeAsync()
        {
            await ((Task)Task.WhenAll(_pulls.Values)).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await _registry!.DisposeAsync();
        }

        private static async Task<Result> PullAsync(PeerFault fault, FakeRegistry registry)
        {
            await using var mesh = await TestMesh.StartAsync(peers: 1, settings: ["--Peerd:Mesh:IdleTimeout=1s"], registry: registry);
            var sample = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            mesh.Peer.Answer = (range, answers, call) => AnswerAsync(fault, range, sample, mesh.Peer, answers, call);
            await (fault == PeerFault.ForgedFrame ? mesh.Peer.ReadFromOriginAsync(mesh.Node, sample) : mesh.Peer.AnnounceAsync(mesh.Node, sample));
            if (fault == PeerFault.Refuse)
            {
                await mesh.Peer.StopListeningAsync();
            }

            var answer = await mesh.Node.GetAsync(sample.Digest);
            return new Result(
                sample,
                answer,
                mesh.Peer.OffsetsAsked,
                mesh.Node.IntegrityFailures,
                registry.BytesOf(sample.Digest),
                mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified);
        }

        private static async Task AnswerAsync(
            PeerFault fault, FetchRange range, SampleContent sample, FakePeer peer, IServerStreamWriter<FetchRangeResponse> answers, ServerCallContext call)
        {
            foreach (var answer in Answers(fault, range, sample))
            {
                await answers.WriteAsync(answer);
            }

            if (fault == PeerFault.Vanish)
            {
                call.GetHttpContext().Abort();
            }

            if (fault is PeerFault.Stall or PeerFault.StallMidRange)
            {
                await peer.NeverAsync(call);
            }
        }
    }

    /// <summary>How one pull went.</summary>
    internal sealed record Result(SampleContent Sample, FacadeAnswer Answer, IReadOnlyList<long> OffsetsAsked, long IntegrityFailures, long OriginBytes, bool IsVerified);
}
