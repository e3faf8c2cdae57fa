using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// What callers of the mesh listener have begun to send and have not ended: messages, and frames of a connection with its preface. gRPC
/// looks at the bytes of such a message and leaves them where they are; flow control takes them for read, so that it does not bound them, and
/// a single byte keeps a whole block of memory. So does one of a frame. When they keep too much, who keeps most loses his oldest stream or
/// connection, and after a while each of these ends whose message or frame does not. Thread-safe.
/// </summary>
internal sealed class HalfSentMessages(IOptions<LimitOptions> limits, RingSource rings, MeshMetrics metrics, TimeProvider time) : BackgroundService
{
    /// <summary>So long a message may take to arrive.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>The same of a frame, and of what a connection begins with.</summary>
    public static readonly TimeSpan FramePatience = TimeSpan.FromSeconds(10);

    /// <summary>What all of them may keep: 32 MiB, which is so many messages of the greatest size or 512 short ones, and never more than a quarter of what may be held in all.</summary>
    private const long Most = 32 << 20;

    /// <summary>A segment of a body is a block of the memory of connections.</summary>
    private const int BlockBytes = 64 * 1024;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly long _most = limits.Value.MemoryValue is > 0 and var limit ? Math.Min(Most, limit / 4) : Most;
    private readonly Lock _lock = new();
    private readonly HashSet<Sender> _begun = [];
    private readonly KeptBytes _kept = new();

    /// <summary>Bytes in blocks that they keep at this moment.</summary>
    public long Bytes => _kept.All;

    /// <summary>Serves a request of the mesh listener and counts what its body keeps.</summary>
    public async Task WatchAsync(HttpContext context, RequestDelegate next)
    {
        using var body = Watch(context.Request.BodyReader, context.Connection.RemoteIpAddress ?? IPAddress.None, context.Abort);
        context.Features.Set<IRequestBodyPipeFeature>(body);
        await next(context);
    }

    /// <summary>Serves a connection of the mesh listener and counts what its frames keep.</summary>
    public async Task WatchAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var transport = connection.Transport;
        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.None;
        using var frames = WatchFrames(transport, address, () => connection.Abort(new ConnectionAbortedException("a frame was begun and not ended")));
        connection.Transport = frames;
        try
        {
            await next(connection);
        }
        finally
        {
            connection.Transport = transport;
        }
    }

    /// <summary>A connection whose frames are watched. It has begun its preface.</summary>
    internal HalfSentFrames WatchFrames(IDuplexPipe transport, IPAddress address, Action abort)
    {
        var frames = new HalfSentFrames(this, transport, NewSender(address, FramePatience, abort));
        frames.Begin();
        return frames;
    }

    /// <summary>A body whose messages are watched.</summary>
    internal Body Watch(PipeReader reader, IPAddress address, Action abort) => new(this, reader, NewSender(address, Patience, abort));

    /// <summary>Ends the streams whose message has taken too long.</summary>
    internal void EndLate()
    {
        var late = new List<Sender>();
        lock (_lock)
        {
            late.AddRange(_begun.Where(sender => time.GetElapsedTime(sender.Since) >= sender.Patience));
            late.ForEach(End);
        }

        late.ForEach(Abort);
    }

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var timer = new PeriodicTimer(Interval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            EndLate();
        }
    }

    /// <summary>He begins what he is to end.</summary>
    internal void Begins(Sender sender)
    {
        lock (_lock)
        {
            _begun.Add(sender);
            sender.Since = time.GetTimestamp();
        }
    }

    /// <summary>What he keeps now, in blocks; whether that has begun since the last call.</summary>
    internal void Keeps(Sender sender, int blocks, bool isAnother)
    {
        // Most are whole when they are looked at. Only the sender's own reader, who calls this, makes the bytes more than none.
        if (blocks == 0 && sender.IsWhole)
        {
            return;
        }

        sender.IsWhole = blocks == 0;
        var ended = new List<Sender>();
        lock (_lock)
        {
            if (isAnother || blocks == 0)
            {
                Forget(sender);
            }

            if (blocks == 0 || sender.IsEnded)
            {
                return;
            }

            if (_begun.Add(sender))
            {
                sender.Since = time.GetTimestamp();
            }

            Add(sender, ((long)blocks * BlockBytes) - sender.Bytes);
            while (_kept.All > _most)
            {
                var greediest = _kept.Greediest;
                var oldest = _begun.Where(other => other.Bytes > 0 && other.Caller.Equals(greediest)).MinBy(other => other.Since)!;
                End(oldest);
                ended.Add(oldest);
            }
        }

        ended.ForEach(Abort);
    }

    private Sender NewSender(IPAddress address, TimeSpan patience, Action abort) => new(rings.CountedAs(address), patience, abort);

    private void Forget(Sender sender)
    {
        if (_begun.Remove(sender))
        {
            Add(sender, -sender.Bytes);
        }
    }

    private void Add(Sender sender, long bytes)
    {
        sender.Bytes += bytes;
        _kept.Add(sender.Caller, bytes);
    }

    private void End(Sender sender)
    {
        Forget(sender);
        sender.IsEnded = true;
    }

    // Outside the lock: the server calls back.
    private void Abort(Sender sender)
    {
        metrics.Refused(MeshRefusal.Message);
        sender.Abort();
    }

    /// <summary>Whoever sends messages in a body, or frames on a connection. The lock of the owner protects its properties.</summary>
    internal sealed class Sender(IPAddress caller, TimeSpan patience, Action abort) : IDisposable
    {
        private readonly StreamEnd _end = new(abort);

        /// <summary>For whom it counts.</summary>
        public IPAddress Caller => caller;

        /// <summary>So long he may take.</summary>
        public TimeSpan Patience => patience;

        /// <summary>What he keeps.</summary>
        public long Bytes { get; set; }

        /// <summary>Nothing is begun and not ended. Of his reader alone.</summary>
        public bool IsWhole { get; set; } = true;

        /// <summary>When that began which is not whole.</summary>
        public long Since { get; set; }

        public bool IsEnded { get; set; }

        public void Abort() => _end.Abort();

        public void Dispose() => _end.Dispose();
    }

    /// <summary>The body of one request. Used by one at a time, as bodies are.</summary>
    internal sealed class Body(HalfSentMessages owner, PipeReader inner, Sender sender) : PipeReader, IRequestBodyPipeFeature, IDisposable
    {
        private ReadOnlySequence<byte> _read;

        public PipeReader Reader => this;

        [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
        public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
        {
            var result = await inner.ReadAsync(cancellationToken);
            _read = result.Buffer;
            return result;
        }

        public override bool TryRead(out ReadResult result)
        {
            var hasRead = inner.TryRead(out result);
            _read = result.Buffer;
            return hasRead;
        }

        public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

        public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
        {
            // What was not looked at holds the sender back.
            var blocks = 0;
            foreach (var block in _read.Slice(consumed, examined))
            {
                blocks += block.IsEmpty ? 0 : 1;
            }

            var isAnother = !_read.Start.Equals(consumed);
            _read = default;
            inner.AdvanceTo(consumed, examined);
            owner.Keeps(sender, blocks, isAnother);
        }

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null)
        {
            owner.Keeps(sender, 0, isAnother: false);
            inner.Complete(exception);
        }

        public void Dispose()
        {
            owner.Keeps(sender, 0, isAnother: false);
            sender.Dispose();
        }
    }
}
