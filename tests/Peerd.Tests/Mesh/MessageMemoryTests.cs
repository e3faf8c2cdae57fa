using Google.Protobuf;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

public sealed class MessageMemoryTests
{
    private const int Many = 10_000;

    private static readonly string Digest = $"sha256:{new string('a', 64)}";

    private static readonly Dictionary<string, IMessage> Messages = new(StringComparer.Ordinal)
    {
        ["contents"] = new AnnounceRequest { Contents = { Enumerable.Repeat(new Availability { Digest = Digest }, Many) } },
        ["runs"] = new AnnounceRequest { Contents = { new Availability { Pieces = { Enumerable.Repeat(new PieceRun { First = 1, Count = 1 }, Many) } } } },
        ["learned order"] = new AnnounceRequest { Contents = { new Availability { StartupOrder = { Enumerable.Repeat(1U, 10 * Many) } } } },
        ["digests"] = new AnnounceRequest { Withdrawn = { Enumerable.Repeat(Digest, Many) }, Mismatched = { Enumerable.Repeat(Digest, Many) } },
        ["tags"] = new AnnounceRequest { Tags = { Enumerable.Repeat(new TagPointer { Registry = "r", Digest = Digest }, Many) } },
        ["wanted"] = new LookupRequest { Want = new Want { Have = { Runs }, Wanted = { Runs }, Reading = { Segments } } },
        ["fetching"] = new LookupRequest { Want = new Want { Fetching = { Enumerable.Repeat(new Assignment { Node = "node", Segments = { new SegmentRun { Count = 1 } } }, Many) } } },
        ["arrived"] = new LookupRequest { Report = new GrantReport { Arrived = { Runs }, GivenBack = { Segments }, Reading = { Segments } } },
        ["failed"] = new LookupRequest { Report = new GrantReport { Failed = { Enumerable.Repeat(new FailedFetch { Node = "node", Segment = 1 }, Many) } } },
        ["first checksums"] = new LookupRequest { Report = new GrantReport { Checksums = { Checksums } } },
        ["holders"] = new LookupResponse { Holders = { Enumerable.Repeat(new Holder { Node = "node", Pieces = { new PieceRun { Count = 1 } } }, Many) }, Gone = { Enumerable.Repeat("node", Many) } },
        ["granted"] = new LookupResponse { Granted = { Segments }, Revoked = { Segments }, Reclaimed = { Segments } },
        ["assigned"] = new LookupResponse { Assigned = { Enumerable.Repeat(new Assignment { Node = "node", Segments = { new SegmentRun { Count = 1 } } }, Many) } },
        ["checksums"] = new LookupResponse { Checksums = { Checksums } },
        ["order"] = new LookupResponse { StartupOrder = { Enumerable.Repeat(1U, 10 * Many) } },
    };

    public static TheoryData<string> Names => [.. Messages.Keys];

    private static IEnumerable<PieceRun> Runs => Enumerable.Repeat(new PieceRun { First = 1, Count = 1 }, Many);

    private static IEnumerable<SegmentRun> Segments => Enumerable.Repeat(new SegmentRun { First = 1, Count = 1 }, Many);

    private static IEnumerable<PieceChecksums> Checksums => Enumerable.Repeat(new PieceChecksums { Frames = { Enumerable.Repeat(ulong.MaxValue, 16) } }, Many);

    // The lists grow by copying, which takes as much again for a moment.
    [Theory]
    [MemberData(nameof(Names))]
    public void Of_AnyMessage_IsRoughlyWhatItTakes(string name)
    {
        var message = Messages[name];
        var estimated = message switch
        {
            AnnounceRequest announced => MessageMemory.Of(announced),
            LookupRequest asked => MessageMemory.Of(asked),
            _ => MessageMemory.Of((LookupResponse)message),
        };
        var payload = message.ToByteArray();
        message.Descriptor.Parser.ParseFrom(payload);

        var before = GC.GetAllocatedBytesForCurrentThread();
        message.Descriptor.Parser.ParseFrom(payload);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: estimated as {estimated}, takes {allocated}");
        Assert.InRange(estimated, allocated / 3, 3 * allocated);
    }
}
