using System.Buffers;
using Google.Protobuf.Reflection;

namespace Peerd.Contracts;

/// <summary>
/// How much memory messages of one type take when they are parsed, told by their bytes before that is done: two bytes may make an object
/// of more than a hundred. Immutable; follows the wire format of Protocol Buffers (tag, then varint, four or eight bytes, or length and bytes).
/// </summary>
public sealed class ParsedSize
{
    private const int ObjectBytes = 24;
    private const int FieldBytes = 8;
    private const int ListBytes = 40;

    // A list has room for up to twice what is in it, of which the reference, or the number, takes 8 bytes.
    private const int EntryBytes = 16;

    private readonly long _own;
    private readonly Field?[] _fields;

    private ParsedSize(MessageDescriptor message)
    {
        var fields = message.Fields.InFieldNumberOrder();
        _own = ObjectBytes + fields.Sum(field => FieldBytes + (field.IsRepeated ? ListBytes : 0));
        _fields = new Field?[fields.Select(field => field.FieldNumber).DefaultIfEmpty().Max() + 1];
        foreach (var field in fields)
        {
            _fields[field.FieldNumber] = new Field(field.IsRepeated, field.FieldType, field.FieldType == FieldType.Message ? new ParsedSize(field.MessageType) : null);
        }
    }

    /// <summary>For messages of a type that does not contain itself.</summary>
    public static ParsedSize Of(MessageDescriptor message) => new(message);

    /// <summary>Bytes of memory, roughly and rather too many; null when the message is malformed, or has groups, which no message of version 3 has.</summary>
    /// <param name="payload">The message.</param>
    /// <param name="most">When it is more, it is not found out how much more.</param>
    public long? Estimate(ReadOnlySequence<byte> payload, long most)
    {
        var reader = new SequenceReader<byte>(payload);
        var size = 0L;
        return TryAdd(ref reader, payload.Length, most, ref size) ? size : null;
    }

    private bool TryAdd(ref SequenceReader<byte> reader, long end, long most, ref long size)
    {
        size += _own;
        while (reader.Consumed < end && size <= most)
        {
            if (!WireFormat.TryReadVarint(ref reader, out var tag))
            {
                return false;
            }

            var field = tag >> 3 < (ulong)_fields.Length ? _fields[tag >> 3] : null;
            size += field is { IsRepeated: true } ? EntryBytes : 0;
            switch (tag & 7)
            {
                case 0 when WireFormat.TryReadVarint(ref reader, out _):
                case 1 when TrySkip(ref reader, sizeof(ulong)):
                case 5 when TrySkip(ref reader, sizeof(uint)):
                    break;
                case 2 when WireFormat.TryReadVarint(ref reader, out var length) && length <= (ulong)reader.Remaining:
                    if (field?.Message is { } inner)
                    {
                        if (!inner.TryAdd(ref reader, reader.Consumed + (long)length, most, ref size))
                        {
                            return false;
                        }

                        break;
                    }

                    size += field?.BytesOf((long)length) ?? 0;
                    reader.Advance((long)length);
                    break;
                default:
                    return false;
            }
        }

        return reader.Consumed <= end || size > most;
    }

    private static bool TrySkip(ref SequenceReader<byte> reader, int bytes)
    {
        if (reader.Remaining < bytes)
        {
            return false;
        }

        reader.Advance(bytes);
        return true;
    }

    private sealed record Field(bool IsRepeated, FieldType Type, ParsedSize? Message)
    {
        /// <summary>What bytes of a known length become: text, or numbers one behind the other.</summary>
        public long BytesOf(long length) => Type switch
        {
            FieldType.String => ObjectBytes + (sizeof(char) * length),
            FieldType.Bytes => ObjectBytes + ObjectBytes + length,
            FieldType.Fixed64 or FieldType.Fixed32 => 2 * length,
            _ => EntryBytes * length,
        };
    }
}
