using System.Buffers;

namespace Peerd.Node.Origin;

/// <summary>
/// The bytes of an answer, no more than were asked for and no fewer: an early end is an error. A read that gets no
/// byte for the idle time fails and takes the connection with it. One reader.
/// </summary>
/// <param name="inner">The body as it comes.</param>
/// <param name="source">Who sends, for errors.</param>
/// <param name="idleTimeout">Longest wait for a byte.</param>
/// <param name="metrics">Counts what is read.</param>
/// <param name="time">Clock of the idle time.</param>
/// <param name="pace">How fast it may be read; null when there is no limit.</param>
internal sealed class OriginBody(Stream inner, string source, TimeSpan idleTimeout, OriginMetrics metrics, TimeProvider time, OriginPace? pace = null) : Stream
{
    private CancellationTokenSource _stop = new(Timeout.InfiniteTimeSpan, time);
    private long _left = long.MaxValue;
    private BodyEnd _end = BodyEnd.Open;

    /// <summary>What the limit of a body means.</summary>
    private enum BodyEnd
    {
        /// <summary>Whatever comes, up to the limit; more is not read.</summary>
        Open,

        /// <summary>Exactly the limit.</summary>
        Exact,

        /// <summary>More than the limit is an error.</summary>
        Capped,
    }

    public override bool CanRead => true;

    public override bool CanSeek => false;

    public override bool CanWrite => false;

    public override long Length => throw new NotSupportedException();

    public override long Position
    {
        get => throw new NotSupportedException();
        set => throw new NotSupportedException();
    }

    /// <summary>From here on there are exactly so many bytes.</summary>
    public OriginBody Exactly(long length) => Limit(length, BodyEnd.Exact);

    /// <summary>From here on at most so many bytes are read; an earlier end is fine.</summary>
    public OriginBody AtMost(long length) => Limit(length, BodyEnd.Open);

    /// <summary>From here on more than so many bytes are an error; an earlier end is fine.</summary>
    public OriginBody Capped(long length) => Limit(length, BodyEnd.Capped);

    /// <summary>Reads and drops bytes; how many there were.</summary>
    /// <exception cref="IOException">The origin is idle or the connection broke.</exception>
    public async Task<long> SkipAsync(long count, CancellationToken cancellationToken)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(64 * 1024);
        try
        {
            var left = count;
            int read;
            while (left > 0 && (read = await ReceiveAsync(buffer.AsMemory(0, (int)Math.Min(buffer.Length, left)), cancellationToken)) > 0)
            {
                left -= read;
            }

            return count - left;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
    {
        if (buffer.IsEmpty || (_left == 0 && _end != BodyEnd.Capped))
        {
            return 0;
        }

        // A capped body is read one byte further, to know that it ends.
        var most = _end == BodyEnd.Capped && _left < int.MaxValue ? _left + 1 : _left;
        var read = await ReceiveAsync(buffer.Length > most ? buffer[..(int)most] : buffer, cancellationToken);
        if (read > _left)
        {
            throw new IOException($"{source} sends more than is allowed");
        }

        if (read == 0 && _end == BodyEnd.Exact)
        {
            throw new IOException($"{source} ended {_left} bytes early");
        }

        _left -= read;
        return read;
    }

    public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
        ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

    public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException("the origin is read asynchronously");

    public override void Flush()
    {
    }

    public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

    public override void SetLength(long value) => throw new NotSupportedException();

    public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            inner.Dispose();
            _stop.Dispose();
        }

        base.Dispose(disposing);
    }

    private OriginBody Limit(long length, BodyEnd end)
    {
        _left = length;
        _end = end;
        return this;
    }

    private ValueTask<int> ReceiveAsync(Memory<byte> buffer, CancellationToken cancellationToken) =>
        pace is null ? ReceiveAtOnceAsync(buffer, cancellationToken) : ReceiveAtPaceAsync(buffer[..Math.Min(buffer.Length, OriginPace.MostAtOnce)], pace, cancellationToken);

    // What may not be read stays with the origin: the connection's window holds it back, and its idle time does not run.
    private async ValueTask<int> ReceiveAtPaceAsync(Memory<byte> buffer, OriginPace allowed, CancellationToken cancellationToken)
    {
        await allowed.TakeAsync(buffer.Length, cancellationToken);
        var read = 0;
        try
        {
            return read = await ReceiveAtOnceAsync(buffer, cancellationToken);
        }
        finally
        {
            if (read < buffer.Length)
            {
                allowed.Rate.GiveBack(buffer.Length - read);
            }
        }
    }

    private async ValueTask<int> ReceiveAtOnceAsync(Memory<byte> buffer, CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var pending = inner.ReadAsync(buffer, _stop.Token);
        int read;
        if (pending.IsCompletedSuccessfully)
        {
            read = pending.Result;
        }
        else
        {
            read = await WaitAsync(pending, cancellationToken);
        }

        metrics.Read(read);
        return read;
    }

    // The timer runs only while a read waits: bytes that are already here cost nothing.
    private async ValueTask<int> WaitAsync(ValueTask<int> pending, CancellationToken cancellationToken)
    {
        _stop.CancelAfter(idleTimeout);
        var caller = cancellationToken.UnsafeRegister(static stop => ((CancellationTokenSource)stop!).Cancel(), _stop);
        try
        {
            return await pending;
        }
        catch (Exception e) when (e is OperationCanceledException || (e is IOException && _stop.IsCancellationRequested))
        {
            cancellationToken.ThrowIfCancellationRequested();
            throw new IOException($"{source} sent nothing for {idleTimeout.TotalSeconds:0.###} s", e);
        }
        finally
        {
            await caller.DisposeAsync();
            if (!_stop.TryReset())
            {
                _stop.Dispose();
                _stop = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
            }
        }
    }
}
