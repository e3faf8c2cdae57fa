using System.Buffers;
using System.Buffers.Binary;
using Google.Protobuf;
using Grpc.Core;
using Peerd.Contracts.V1;

namespace Peerd.Contracts;

/// <summary>
/// Writes and reads <see cref="RangeAnswer"/> in the wire format of <see cref="FetchRangeResponse"/>
/// (Protocol Buffers encoding: tag, varint length, bytes).
/// </summary>
public static class RangeAnswerMarshaller
{
    // Field numbers and wire types of FetchRangeResponse and Frame in peer.proto.
    private const byte IdTag = (1 << 3) | 0;
    private const byte FrameTag = (3 << 3) | 2;
    private const byte OffsetTag = (1 << 3) | 0;
    private const byte ChecksumTag = (2 << 3) | 1;
    private const byte DataTag = (3 << 3) | 2;
    private const byte NextChecksumsTag = (4 << 3) | 2;

    // Of a message of some frames.
    private const int MaxHeader = 128;

    /// <summary>What an answer that is no frame of this program's may take of memory: the data of a frame, or a list of pieces.</summary>
    private const int MaxParsed = 4 * 1024 * 1024;

    private static readonly ParsedSize Parsed = ParsedSize.Of(FetchRangeResponse.Descriptor);

    // What this program does not know of a message it would only keep in memory.
    private static readonly MessageParser<FetchRangeResponse> Parser = FetchRangeResponse.Parser.WithDiscardUnknownFields(true);

    /// <summary>The marshaller for both ends.</summary>
    public static Marshaller<RangeAnswer> Instance { get; } = new(Serialize, context => Deserialize(context, receiver: null));

    /// <summary>A marshaller that hands the data of received frames to <paramref name="receiver"/> where they lie, instead of copying them.</summary>
    public static Marshaller<RangeAnswer> For(IFrameReceiver receiver) => new(Serialize, context => Deserialize(context, receiver));

    private static void Serialize(RangeAnswer answer, SerializationContext context)
    {
        if (answer.Control is { } control)
        {
            context.SetPayloadLength(control.CalculateSize());
            control.WriteTo(context.GetBufferWriter());
            context.Complete();
            return;
        }

        Span<byte> header = stackalloc byte[2 * MaxHeader];
        var headerLength = WriteHeader(answer, header);
        context.SetPayloadLength(headerLength + answer.Length);
        var writer = context.GetBufferWriter();
        writer.Write(header[..headerLength]);
        for (var done = 0; done < answer.Length;)
        {
            var span = writer.GetSpan(answer.Length - done);
            span = span[..Math.Min(span.Length, answer.Length - done)];
            if (answer.Data is { } data)
            {
                data.Memory.Span.Slice(done, span.Length).CopyTo(span);
            }
            else
            {
                answer.Source!.Read(answer.Offset + done, span);
            }

            writer.Advance(span.Length);
            done += span.Length;
        }

        context.Complete();
    }

    private static int WriteHeader(RangeAnswer answer, Span<byte> header)
    {
        Span<byte> frame = stackalloc byte[MaxHeader];
        var frameHeader = 0;
        if (answer.Offset != 0)
        {
            frame[frameHeader++] = OffsetTag;
            frameHeader += WriteVarint((ulong)answer.Offset, frame[frameHeader..]);
        }

        if (answer.Checksum != 0)
        {
            frame[frameHeader++] = ChecksumTag;
            BinaryPrimitives.WriteUInt64LittleEndian(frame[frameHeader..], answer.Checksum);
            frameHeader += sizeof(ulong);
        }

        if (answer.NextChecksums.Length > 0)
        {
            // Before the data, which are the last thing in the message so.
            frame[frameHeader++] = NextChecksumsTag;
            frameHeader += WriteVarint((ulong)answer.NextChecksums.Length * sizeof(ulong), frame[frameHeader..]);
            foreach (var checksum in answer.NextChecksums)
            {
                BinaryPrimitives.WriteUInt64LittleEndian(frame[frameHeader..], checksum);
                frameHeader += sizeof(ulong);
            }
        }

        if (answer.Length != 0)
        {
            frame[frameHeader++] = DataTag;
            frameHeader += WriteVarint((ulong)answer.Length, frame[frameHeader..]);
        }

        var length = 0;
        if (answer.Id != 0)
        {
            header[length++] = IdTag;
            length += WriteVarint(answer.Id, header[length..]);
        }

        header[length++] = FrameTag;
        length += WriteVarint((ulong)(frameHeader + answer.Length), header[length..]);
        frame[..frameHeader].CopyTo(header[length..]);
        return length + frameHeader;
    }

    private static int WriteVarint(ulong value, Span<byte> destination)
    {
        var length = 0;
        while (value >= 0x80)
        {
            destination[length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        destination[length++] = (byte)value;
        return length;
    }

    private static RangeAnswer Deserialize(DeserializationContext context, IFrameReceiver? receiver)
    {
        var payload = context.PayloadAsReadOnlySequence();
        return TryReadFrame(payload, receiver, out var answer) ? answer
            : Parsed.Estimate(payload, MaxParsed) is not <= MaxParsed ? throw new InvalidDataException($"a message of {payload.Length} bytes that is malformed, or would take more than {MaxParsed} bytes of memory")
            : FromGenerated(Parser.ParseFrom(payload), receiver);
    }

    /// <summary>Reads a frame in the form that senders of this program write; anything else is left to the generated parser.</summary>
    private static bool TryReadFrame(ReadOnlySequence<byte> payload, IFrameReceiver? receiver, out RangeAnswer answer)
    {
        answer = null!;
        var reader = new SequenceReader<byte>(payload);
        ulong id = 0;
        if (!reader.TryPeek(out var tag) || (tag == IdTag && !(Skip(ref reader) && WireFormat.TryReadVarint(ref reader, out id) && reader.TryPeek(out tag))))
        {
            return false;
        }

        if (tag != FrameTag || !Skip(ref reader) || !WireFormat.TryReadVarint(ref reader, out var frameLength) || frameLength != (ulong)reader.Remaining || id > uint.MaxValue)
        {
            return false;
        }

        ulong offset = 0;
        long checksum = 0;
        if (reader.TryPeek(out tag) && tag == OffsetTag && !(Skip(ref reader) && WireFormat.TryReadVarint(ref reader, out offset)))
        {
            return false;
        }

        if (reader.TryPeek(out tag) && tag == ChecksumTag && !(Skip(ref reader) && reader.TryReadLittleEndian(out checksum)))
        {
            return false;
        }

        ulong[] nextChecksums = [];
        if (reader.TryPeek(out tag) && tag == NextChecksumsTag && !(Skip(ref reader) && TryReadChecksums(ref reader, out nextChecksums)))
        {
            return false;
        }

        if (!reader.TryPeek(out tag) || tag != DataTag || !Skip(ref reader) || !WireFormat.TryReadVarint(ref reader, out var dataLength) || dataLength != (ulong)reader.Remaining)
        {
            return false;
        }

        if (receiver is not null && reader.UnreadSpan.Length == reader.Remaining)
        {
            answer = Hand(receiver, (uint)id, (long)offset, reader.UnreadSpan, (ulong)checksum, nextChecksums);
            return true;
        }

        var data = PooledBuffer.Rent((int)dataLength);
        reader.UnreadSequence.CopyTo(data.Memory.Span);
        if (receiver is not null)
        {
            using (data)
            {
                answer = Hand(receiver, (uint)id, (long)offset, data.Memory.Span, (ulong)checksum, nextChecksums);
            }

            return true;
        }

        answer = RangeAnswer.OfReceived((uint)id, (long)offset, (ulong)checksum, data, nextChecksums);
        return true;
    }

    private static bool TryReadChecksums(ref SequenceReader<byte> reader, out ulong[] checksums)
    {
        checksums = [];
        if (!WireFormat.TryReadVarint(ref reader, out var length) || length > (ulong)reader.Remaining || length % sizeof(ulong) != 0)
        {
            return false;
        }

        EnsureNotTooMany(length / sizeof(ulong));
        checksums = new ulong[length / sizeof(ulong)];
        for (var i = 0; i < checksums.Length; i++)
        {
            reader.TryReadLittleEndian(out long checksum);
            checksums[i] = (ulong)checksum;
        }

        return true;
    }

    private static RangeAnswer Hand(IFrameReceiver receiver, uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums)
    {
        receiver.Receive(id, offset, data, checksum, nextChecksums);
        return RangeAnswer.OfHanded(id, offset, data.Length, checksum);
    }

    private static RangeAnswer FromGenerated(FetchRangeResponse message, IFrameReceiver? receiver)
    {
        if (message.MessageCase != FetchRangeResponse.MessageOneofCase.Frame)
        {
            return RangeAnswer.OfControl(message);
        }

        EnsureNotTooMany((ulong)message.Frame.NextChecksums.Count);
        ulong[] nextChecksums = [.. message.Frame.NextChecksums];
        if (receiver is not null)
        {
            return Hand(receiver, message.Id, message.Frame.Offset, message.Frame.Data.Span, message.Frame.Checksum, nextChecksums);
        }

        var data = PooledBuffer.Rent(message.Frame.Data.Length);
        message.Frame.Data.Span.CopyTo(data.Memory.Span);
        return RangeAnswer.OfReceived(message.Id, message.Frame.Offset, message.Frame.Checksum, data, nextChecksums);
    }

    // Before they take memory once more.
    private static void EnsureNotTooMany(ulong nextChecksums)
    {
        if (nextChecksums > RangeAnswer.MaxNextChecksums)
        {
            throw new InvalidDataException($"a message with {nextChecksums} next_checksums; at most {RangeAnswer.MaxNextChecksums} are taken");
        }
    }

    private static bool Skip(ref SequenceReader<byte> reader)
    {
        reader.Advance(1);
        return true;
    }
}
