using Peerd.Contracts.V1;

namespace Peerd.Contracts;

/// <summary>Gives the bytes of frames that are to be sent, at the moment when they are written to the connection.</summary>
public interface IFrameSource
{
    /// <summary>Fills the buffer with the content's bytes from <paramref name="offset"/> on.</summary>
    void Read(long offset, Span<byte> buffer);
}

/// <summary>Takes the data of received frames while they still lie in the buffer of the connection.</summary>
public interface IFrameReceiver
{
    /// <summary>A message of frames has arrived. The data must not be used after the call. Must not throw: the stream would break.</summary>
    /// <param name="id">The id of the range.</param>
    /// <param name="offset">First byte of the first frame within the content.</param>
    /// <param name="data">The bytes of all frames.</param>
    /// <param name="checksum">Of the first frame.</param>
    /// <param name="nextChecksums">Of each that follows.</param>
    void Receive(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum, ReadOnlySpan<ulong> nextChecksums);
}

/// <summary>
/// A <see cref="FetchRangeResponse"/> as the nodes send and receive it: the same bytes on the wire, but the data of
/// frames is written from its source without an intermediate array, and received either by an <see cref="IFrameReceiver"/>
/// without a copy or into a pooled buffer that the reader gives back by <see cref="Dispose"/>.
/// </summary>
public sealed class RangeAnswer : IDisposable
{
    /// <summary>Of more frames no message tells the checksums, beside that of the first: one with more is malformed.</summary>
    public const int MaxNextChecksums = 7;

    private RangeAnswer(uint id) => Id = id;

    /// <summary>The id of the range.</summary>
    public uint Id { get; }

    /// <summary>The whole message when it is no frame, else null.</summary>
    public FetchRangeResponse? Control { get; private init; }

    /// <summary>First byte of the first frame within the content.</summary>
    public long Offset { get; private init; }

    /// <summary>Checksum of the first frame as the sender told it.</summary>
    public ulong Checksum { get; private init; }

    /// <summary>The same of each frame that follows; empty when there is one.</summary>
    public ulong[] NextChecksums { get; private init; } = [];

    /// <summary>How many bytes the frames have.</summary>
    public int Length { get; private init; }

    /// <summary>The bytes of received frames; null when a receiver has taken them, for one that is to be sent, and for other messages.</summary>
    public PooledBuffer? Data { get; private init; }

    internal IFrameSource? Source { get; private init; }

    /// <summary>A message that is no frame.</summary>
    public static RangeAnswer OfControl(FetchRangeResponse control) => new(control.Id) { Control = control };

    /// <summary>Frames to be sent.</summary>
    /// <param name="id">The id of the range.</param>
    /// <param name="offset">First byte of the first frame within the content.</param>
    /// <param name="length">How many bytes all have.</param>
    /// <param name="checksum">Of the first frame.</param>
    /// <param name="source">Gives the bytes.</param>
    /// <param name="nextChecksums">Of each that follows, <see cref="MaxNextChecksums"/> at most.</param>
    public static RangeAnswer OfFrames(uint id, long offset, int length, ulong checksum, IFrameSource source, params ulong[] nextChecksums) =>
        new(id) { Offset = offset, Length = length, Checksum = checksum, NextChecksums = nextChecksums, Source = source };

    /// <summary>Frames that were received; takes over the buffer.</summary>
    public static RangeAnswer OfReceived(uint id, long offset, ulong checksum, PooledBuffer data, params ulong[] nextChecksums) =>
        new(id) { Offset = offset, Length = data.Memory.Length, Checksum = checksum, NextChecksums = nextChecksums, Data = data };

    /// <summary>Frames that were received and whose data a receiver has taken.</summary>
    public static RangeAnswer OfHanded(uint id, long offset, int length, ulong checksum) =>
        new(id) { Offset = offset, Length = length, Checksum = checksum };

    /// <inheritdoc />
    public void Dispose() => Data?.Dispose();
}
