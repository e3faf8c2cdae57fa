using Google.Protobuf;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;
using Peerd.Tests.Contracts;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>What messages take of memory, which is up to a hundred times what they have of bytes.</summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class MessageSizeTests
{
    private const int MiB = 1024 * 1024;

    private static readonly string SomeDigest = $"sha256:{new string('d', 64)}";

    private static IEnumerable<T> Empty<T>()
        where T : new() => Enumerable.Repeat(new T(), 400_000);

    // Two bytes each, and all of them within what a message may have of bytes.
    [Fact]
    public void Parse_ManyEmptyParts_IsRefusedBeforeTheyTakeMemory()
    {
        var range = new FetchRangeResponse { End = new RangeEnd { Pieces = { Empty<PieceRun>() } } };
        var parsers = new (IMessage Message, Action<DeserializationContext> Parse)[]
        {
            (new AnnounceRequest { Contents = { Empty<Availability>() } }, context => PeerMethods.Announce.RequestMarshaller.ContextualDeserializer(context)),
            (new AnnounceResponse { Discarded = { Enumerable.Repeat(string.Empty, 400_000) } }, context => PeerMethods.Announce.ResponseMarshaller.ContextualDeserializer(context)),
            (new LookupRequest { Want = new Want { Have = { Empty<PieceRun>() } } }, context => PeerMethods.Lookup.RequestMarshaller.ContextualDeserializer(context)),
            (new LookupResponse { Holders = { Empty<Holder>() } }, context => PeerMethods.Lookup.ResponseMarshaller.ContextualDeserializer(context)),
            (range, context => PeerMethods.FetchRange.ResponseMarshaller.ContextualDeserializer(context)),
            (range, context => PeerMethods.FetchRangeTo(new NoFrames()).ResponseMarshaller.ContextualDeserializer(context)),
        };
        foreach (var (message, parse) in parsers)
        {
            var payload = message.ToByteArray();
            Assert.InRange(payload.Length, 1, ProtocolConstants.MaxRequestBytes);
            var context = new FakeDeserializationContext(payload, 4096);
            var before = GC.GetAllocatedBytesForCurrentThread();

            var fault = Record.Exception(() => parse(context));

            Assert.Contains("bytes of memory", fault?.Message, StringComparison.Ordinal);
            Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, MiB);
        }
    }

    [Fact]
    public void Parse_LongestThatNodesSend_IsTaken()
    {
        var policy = new CoordinatorPolicy();
        var pushed = new LookupResponse
        {
            Holders = { Enumerable.Range(0, policy.HolderSample).Select(i => new Holder { Node = $"node-{i}", Pieces = { Runs(policy.RunsOfHolder) } }) },
            Checksums = { Enumerable.Repeat(new PieceChecksums { Piece = uint.MaxValue, Frames = { 1, 2, 3, 4 } }, policy.ChecksumsAtOnce) },
            StartupOrder = { Enumerable.Repeat(uint.MaxValue, ProtocolConstants.MaxStartupOrder) },
        };
        var toldToAnotherOwner = new LookupResponse { Holders = { Enumerable.Repeat(new Holder { Node = "node", Pieces = { Runs(9) } }, policy.RunsTold / 10) } };
        var wanted = new LookupRequest { Want = new Want { Have = { Runs(ProtocolConstants.MaxHeldRuns) } } };

        Assert.Equal(pushed, PeerMethods.Lookup.ResponseMarshaller.ContextualDeserializer(Received(pushed)));
        Assert.Equal(toldToAnotherOwner, PeerMethods.Lookup.ResponseMarshaller.ContextualDeserializer(Received(toldToAnotherOwner)));
        Assert.Equal(wanted, PeerMethods.Lookup.RequestMarshaller.ContextualDeserializer(Received(wanted)));

        static IEnumerable<PieceRun> Runs(int count) => Enumerable.Repeat(new PieceRun { First = uint.MaxValue, Count = uint.MaxValue }, count);

        static FakeDeserializationContext Received(IMessage message) => new(message.ToByteArray(), 64 * 1024);
    }

    [Fact]
    public async Task Lookups_BegunWithLongLists_KeepNothingOfThem()
    {
        const int Lookups = 64;
        await using var mesh = await TestMesh.StartAsync();
        var client = new PeerService.PeerServiceClient(mesh.Node.Channel);
        var request = new LookupRequest
        {
            Want = new Want
            {
                Member = new Member { Node = "x", Incarnation = 1 },
                Digest = SomeDigest,
                Have = { Enumerable.Repeat(new PieceRun(), ProtocolConstants.MaxHeldRuns) },
                Wanted = { Enumerable.Repeat(new PieceRun(), 16 * 1024) },
            },
        };
        var calls = new List<AsyncDuplexStreamingCall<LookupRequest, LookupResponse>>();
        try
        {
            await OpenAsync();
            var before = GC.GetTotalMemory(forceFullCollection: true);
            while (calls.Count < Lookups)
            {
                await OpenAsync();
            }

            Assert.InRange(GC.GetTotalMemory(forceFullCollection: true) - before, long.MinValue, 24 * MiB);
        }
        finally
        {
            calls.ForEach(call => call.Dispose());
        }

        async Task OpenAsync()
        {
            var call = client.Lookup(deadline: DateTime.UtcNow + Wait.Longest);
            calls.Add(call);
            await call.RequestStream.WriteAsync(request);
            Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));

            // The next one, and the last that is not cleared away by another.
            await call.RequestStream.WriteAsync(request);
        }
    }

    private sealed class NoFrames : IFrameReceiver
    {
        public void Receive(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums) => throw new NotSupportedException();
    }
}
