using System.Buffers;
using CsCheck;
using Google.Protobuf;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;

namespace Peerd.Tests.Contracts;

public sealed class RangeAnswerMarshallerTests
{
    private static readonly Gen<FetchRangeResponse> Frames =
        from id in Gen.UInt
        from offset in Gen.OneOf(Gen.Const(0L), Gen.Long[0, long.MaxValue])
        from checksum in Gen.OneOf(Gen.Const(0UL), Gen.ULong)
        from data in Gen.Byte.Array[0, 300]
        from next in Gen.OneOf(Gen.Const(Array.Empty<ulong>()), Gen.ULong.Array[0, 7])
        select new FetchRangeResponse { Id = id, Frame = new Frame { Offset = offset, Checksum = checksum, Data = ByteString.CopyFrom(data), NextChecksums = { next } } };

    [Fact]
    public void Serialize_Frame_SameMessageAsGenerated() =>
        Frames.Sample(message =>
        {
            var source = new ArraySource(message.Frame.Offset, message.Frame.Data.ToByteArray());
            var answer = RangeAnswer.OfFrames(message.Id, message.Frame.Offset, message.Frame.Data.Length, message.Frame.Checksum, source, [.. message.Frame.NextChecksums]);
            var bytes = Serialize(answer);
            Assert.Equal(message, FetchRangeResponse.Parser.ParseFrom(bytes));
            Assert.Equal(message.CalculateSize(), bytes.Length);
            using var read = Deserialize(bytes, 100);
            Assert.Equal(message.Frame.NextChecksums, read.NextChecksums);
        });

    [Fact]
    public void Deserialize_AnySegmentation_SameAsGenerated() =>
        Gen.Select(Frames, Gen.Int[1, 40]).Sample((message, chunk) =>
        {
            using var answer = Deserialize(message.ToByteArray(), chunk);
            Assert.Equal(message.Id, answer.Id);
            Assert.Null(answer.Control);
            Assert.Equal(message.Frame.Offset, answer.Offset);
            Assert.Equal(message.Frame.Checksum, answer.Checksum);
            Assert.Equal(message.Frame.NextChecksums, answer.NextChecksums);
            Assert.Equal(message.Frame.Data.ToByteArray(), answer.Data!.Memory.ToArray());
        });

    [Fact]
    public void Deserialize_WithReceiver_ReceiverGetsTheSameAsGenerated() =>
        Gen.Select(Frames, Gen.Int[1, 400]).Sample((message, chunk) =>
        {
            var receiver = new Receiver();
            using var answer = Deserialize(message.ToByteArray(), chunk, receiver);
            Assert.Equal(message, Assert.Single(receiver.Frames));
            Assert.Equal(message.Id, answer.Id);
            Assert.Null(answer.Control);
            Assert.Null(answer.Data);
        });

    [Fact]
    public void Deserialize_ControlWithReceiver_ReceiverIsNotCalled()
    {
        var head = new FetchRangeResponse { Id = 3, Head = new RangeHead { Size = 5 } };
        var receiver = new Receiver();
        using var answer = Deserialize(Serialize(RangeAnswer.OfControl(head)), 100, receiver);
        Assert.Equal(head, answer.Control);
        Assert.Empty(receiver.Frames);
    }

    [Fact]
    public void Deserialize_UnusualFieldOrder_IsUnderstood()
    {
        // frame { data, offset } before id: legal on the wire, never written by this program.
        byte[] payload = [0x1A, 0x05, 0x1A, 0x01, 0x7F, 0x08, 0x40, 0x08, 0x09];
        using var answer = Deserialize(payload, 3);
        Assert.Equal(9u, answer.Id);
        Assert.Equal(64, answer.Offset);
        Assert.Equal([0x7F], answer.Data!.Memory.ToArray());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Deserialize_NextChecksums_AreRefusedBeyondSeven(bool isUsual)
    {
        var receiver = new Receiver();
        using var answer = Deserialize(Message(isUsual, nextChecksums: 7), 300, receiver);
        Assert.Equal(7, Assert.Single(receiver.Frames).Frame.NextChecksums.Count);
        using var copied = Deserialize(Message(isUsual, nextChecksums: 7), 300);
        Assert.Equal(7, copied.NextChecksums.Length);

        foreach (var count in new[] { 8, 9, 1000 })
        {
            Assert.Throws<InvalidDataException>(() => Deserialize(Message(isUsual, count), 300, receiver));
            Assert.Throws<InvalidDataException>(() => Deserialize(Message(isUsual, count), 300));
        }

        Assert.Single(receiver.Frames);
    }

    [Fact]
    public void Deserialize_ManyNextChecksums_AreRefusedWithoutMemoryForThem()
    {
        var message = Message(isUsual: true, nextChecksums: 100_000);
        var before = GC.GetAllocatedBytesForCurrentThread();

        Assert.Throws<InvalidDataException>(() => Deserialize(message, message.Length));

        // The test itself lays the message out once more.
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, message.Length + 100_000);
    }

    [Fact]
    public void RoundTrip_Control_IsKept()
    {
        var end = new FetchRangeResponse { Id = 3, End = new RangeEnd { Status = RangeStatus.Busy, Holders = { "n2" } } };
        using var answer = Deserialize(Serialize(RangeAnswer.OfControl(end)), 4);
        Assert.Equal(end, answer.Control);
    }

    [Fact]
    public void RoundTrip_Waiting_IsKeptAndNoFrame()
    {
        var waiting = new FetchRangeResponse { Id = 3, Waiting = new RangeWaiting() };
        var receiver = new Receiver();
        using var answer = Deserialize(Serialize(RangeAnswer.OfControl(waiting)), 2, receiver);
        Assert.Equal(waiting, answer.Control);
        Assert.Empty(receiver.Frames);
    }

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void Deserialize_Garbage_ThrowsAndNothingElse() =>
        Gen.Byte.Array[0, 60].Sample(bytes =>
        {
            try
            {
                Deserialize(bytes, 7).Dispose();
            }
            catch (Exception e) when (e is InvalidProtocolBufferException or InvalidDataException)
            {
            }
        });

    /// <summary>A message of one frame as senders of this program write it, or in the order of the generated writer: the data first.</summary>
    private static byte[] Message(bool isUsual, int nextChecksums)
    {
        var checksums = new Frame { NextChecksums = { Enumerable.Repeat(2UL, nextChecksums) } }.ToByteArray();
        var data = new Frame { Data = ByteString.CopyFrom(1) }.ToByteArray();
        byte[] frame = isUsual ? [.. checksums, .. data] : [.. data, .. checksums];
        using var message = new MemoryStream();
        using (var writer = new CodedOutputStream(message))
        {
            writer.WriteTag(FetchRangeResponse.FrameFieldNumber, WireFormat.WireType.LengthDelimited);
            writer.WriteBytes(ByteString.CopyFrom(frame));
        }

        return message.ToArray();
    }

    private static byte[] Serialize(RangeAnswer answer)
    {
        var context = new FakeSerializationContext();
        RangeAnswerMarshaller.Instance.ContextualSerializer(answer, context);
        Assert.Equal(context.Length, context.Writer.WrittenCount);
        return context.Writer.WrittenSpan.ToArray();
    }

    private static RangeAnswer Deserialize(byte[] payload, int chunk, Receiver? receiver = null) =>
        (receiver is null ? RangeAnswerMarshaller.Instance : RangeAnswerMarshaller.For(receiver)).ContextualDeserializer(new FakeDeserializationContext(payload, chunk));

    private sealed class Receiver : IFrameReceiver
    {
        public List<FetchRangeResponse> Frames { get; } = [];

        public void Receive(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums) =>
            Frames.Add(new FetchRangeResponse { Id = id, Frame = new Frame { Offset = offset, Checksum = checksum, Data = ByteString.CopyFrom(data), NextChecksums = { nextChecksums.ToArray() } } });
    }

    private sealed class ArraySource(long start, byte[] data) : IFrameSource
    {
        public void Read(long offset, Span<byte> buffer) => data.AsSpan((int)(offset - start), buffer.Length).CopyTo(buffer);
    }

    private sealed class FakeSerializationContext : SerializationContext
    {
        public ArrayBufferWriter<byte> Writer { get; } = new();

        public int Length { get; private set; }

        public override void SetPayloadLength(int payloadLength) => Length = payloadLength;

        public override IBufferWriter<byte> GetBufferWriter() => Writer;

        public override void Complete()
        {
        }
    }
}
