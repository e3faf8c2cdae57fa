using Peerd.Contracts.V1;

namespace Peerd.Contracts;

/// <summary>Gives the bytes of a frame that is to be sent, at the moment when they are written to the connection.</summary>
public interface IFrameSource
{
    /// <summary>Fills the buffer with the content's bytes from <paramref name="offset"/> on.</summary>
    void Read(long offset, Span<byte> buffer);
}

/// <summary>Takes the data of a received frame while they still lie in the buffer of the connection.</summary>
public interface IFrameReceiver
{
    /// <summary>A frame has arrived. The data must not be used after the call. Must not throw: the stream would break.</summary>
    void Receive(uint id, long offset, ReadOnlySpan<byte> data, ulong checksum);
}

/// <summary>
/// A <see cref="FetchRangeResponse"/> as the nodes send and receive it: the same bytes on the wire, but the data of a
/// frame is written from its source without an intermediate array, and received either by an <see cref="IFrameReceiver"/>
/// without a copy or into a pooled buffer that the reader gives back by <see cref="Dispose"/>.
/// </summary>
public sealed class RangeAnswer : IDisposable
{
    private RangeAnswer(uint id) => Id = id;

    /// <summary>The id of the range.</summary>
    public uint Id { get; }

    /// <summary>The whole message when it is no frame, else null.</summary>
    public FetchRangeResponse? Control { get; private init; }

    /// <summary>First byte of the frame within the content.</summary>
    public long Offset { get; private init; }

    /// <summary>Checksum of the frame as the sender told it.</summary>
    public ulong Checksum { get; private init; }

    /// <summary>How many bytes the frame has.</summary>
    public int Length { get; private init; }

    /// <summary>The bytes of a received frame; null when a receiver has taken them, for one that is to be sent, and for other messages.</summary>
    public PooledBuffer? Data { get; private init; }

    internal IFrameSource? Source { get; private init; }

    /// <summary>A message that is no frame.</summary>
    public static RangeAnswer OfControl(FetchRangeResponse control) => new(control.Id) { Control = control };

    /// <summary>A frame to be sent.</summary>
    public static RangeAnswer OfFrame(uint id, long offset, int length, ulong checksum, IFrameSource source) =>
        new(id) { Offset = offset, Length = length, Checksum = checksum, Source = source };

    /// <summary>A frame that was received; takes over the buffer.</summary>
    public static RangeAnswer OfReceived(uint id, long offset, ulong checksum, PooledBuffer data) =>
        new(id) { Offset = offset, Length = data.Memory.Length, Checksum = checksum, Data = data };

    /// <summary>A frame that was received and whose data a receiver has taken.</summary>
    public static RangeAnswer OfHanded(uint id, long offset, int length, ulong checksum) =>
        new(id) { Offset = offset, Length = length, Checksum = checksum };

    /// <inheritdoc />
    public void Dispose() => Data?.Dispose();
}
