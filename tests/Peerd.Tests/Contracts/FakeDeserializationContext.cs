using System.Buffers;
using Grpc.Core;

namespace Peerd.Tests.Contracts;

/// <summary>A received message.</summary>
/// <param name="payload">Its bytes.</param>
/// <param name="chunk">So many of them lie in one place, as they may in the buffers of a connection.</param>
internal sealed class FakeDeserializationContext(byte[] payload, int chunk) : DeserializationContext
{
    public override int PayloadLength => payload.Length;

    public override ReadOnlySequence<byte> PayloadAsReadOnlySequence()
    {
        Segment? first = null;
        Segment? last = null;
        foreach (var part in payload.Chunk(chunk))
        {
            last = new Segment(part, last);
            first ??= last;
        }

        return first is null ? ReadOnlySequence<byte>.Empty : new ReadOnlySequence<byte>(first, 0, last!, last!.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(byte[] memory, Segment? previous)
        {
            Memory = memory;
            if (previous is not null)
            {
                RunningIndex = previous.RunningIndex + previous.Memory.Length;
                previous.Next = this;
            }
        }
    }
}
