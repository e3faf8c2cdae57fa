using System.Buffers;
using Google.Protobuf;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Tests.Contracts;

public sealed class ParsedSizeTests
{
    private const int Many = 10_000;

    public static TheoryData<string, IMessage> Messages => new()
    {
        { "nothing", new AnnounceRequest() },
        { "empty contents", new AnnounceRequest { Contents = { Enumerable.Repeat(new Availability(), Many) } } },
        { "runs", new AnnounceRequest { Contents = { new Availability { Pieces = { Enumerable.Repeat(new PieceRun { First = 1, Count = 1 }, Many) } } } } },
        { "empty names", new AnnounceRequest { Withdrawn = { Enumerable.Repeat(string.Empty, Many) } } },
        { "digests", new AnnounceRequest { Withdrawn = { Enumerable.Repeat($"sha256:{new string('a', 64)}", Many) } } },
        { "order", new AnnounceRequest { Contents = { new Availability { StartupOrder = { Enumerable.Repeat(1U, Many) } } } } },
        { "tags", new AnnounceRequest { Tags = { Enumerable.Repeat(new TagPointer { Registry = "r", Size = 1, AgeMs = 1 }, Many) } } },
        { "empty runs", new LookupRequest { Want = new Want { Have = { Enumerable.Repeat(new PieceRun(), Many) } } } },
        { "assignments", new LookupRequest { Want = new Want { Fetching = { Enumerable.Repeat(new Assignment { Segments = { new SegmentRun() } }, Many) } } } },
        { "checksums", new LookupRequest { Report = new GrantReport { Checksums = { Enumerable.Repeat(new PieceChecksums { Frames = { Enumerable.Repeat(ulong.MaxValue, 16) } }, Many) } } } },
        { "empty holders", new LookupResponse { Holders = { Enumerable.Repeat(new Holder(), Many) } } },
        { "a frame", new FetchRangeResponse { Frame = new Frame { Data = ByteString.CopyFrom(new byte[64 * 1024]), NextChecksums = { Enumerable.Repeat(1UL, 7) } } } },
        { "end", new FetchRangeResponse { End = new RangeEnd { Pieces = { Enumerable.Repeat(new PieceRun(), Many) } } } },
        { "waiting", new FetchRangeResponse { Waiting = new RangeWaiting() } },
    };

    // The lists grow by copying, which takes as much again for a moment.
    [Theory]
    [MemberData(nameof(Messages))]
    public void Estimate_AnyMessage_IsWhatParsingItTakes(string name, IMessage message)
    {
        var payload = message.ToByteArray();
        var estimated = ParsedSize.Of(message.Descriptor).Estimate(new ReadOnlySequence<byte>(payload), long.MaxValue);
        message.Descriptor.Parser.ParseFrom(payload);

        var before = GC.GetAllocatedBytesForCurrentThread();
        message.Descriptor.Parser.ParseFrom(payload);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        TestContext.Current.TestOutputHelper?.WriteLine($"{name}: {payload.Length} bytes are estimated as {estimated} and take {allocated}");
        Assert.InRange(estimated!.Value, (allocated - 256) * 2 / 3, 1024 + (4 * allocated));
    }

    [Fact]
    public void Estimate_OnlyWhatIsUnknown_IsNothing()
    {
        var payload = new AnnounceRequest { Contents = { Enumerable.Repeat(new Availability(), Many) } }.ToByteArray();

        Assert.InRange(ParsedSize.Of(GetStatusRequest.Descriptor).Estimate(new ReadOnlySequence<byte>(payload), long.MaxValue)!.Value, 0, 100);
    }

    [Fact]
    public void Estimate_MoreThanWhatIsOfInterest_EndsEarly()
    {
        // Behind that it is malformed, which nobody finds out.
        byte[] payload = [.. new AnnounceRequest { Contents = { Enumerable.Repeat(new Availability(), Many) } }.ToByteArray(), 0xFF];

        Assert.InRange(ParsedSize.Of(AnnounceRequest.Descriptor).Estimate(new ReadOnlySequence<byte>(payload), most: 1000)!.Value, 1001, 2000);
    }

    [Theory]
    [InlineData(new byte[] { 0x80 })]
    [InlineData(new byte[] { 0x08 })]
    [InlineData(new byte[] { 0x09, 1, 2, 3 })]
    [InlineData(new byte[] { 0x0D, 1, 2, 3 })]
    [InlineData(new byte[] { 0x1A, 0x7F, 0 })]
    [InlineData(new byte[] { 0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01 })]
    [InlineData(new byte[] { 0x1A, 0x02, 0x0A, 0x7F })]
    [InlineData(new byte[] { 0x1A, 0x01, 0x0A, 0x00 })]
    [InlineData(new byte[] { 0x0B, 0x0C })]
    [InlineData(new byte[] { 0x0F })]
    public void Estimate_Malformed_IsNull(byte[] payload) => Assert.Null(ParsedSize.Of(AnnounceRequest.Descriptor).Estimate(new ReadOnlySequence<byte>(payload), long.MaxValue));
}
