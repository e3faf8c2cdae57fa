using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;

namespace Peerd.Node.Mesh;

/// <summary>
/// What callers of the mesh listener have begun to send and have not ended. gRPC looks at the bytes of such a message and leaves them
/// where they are; flow control takes them for read, so that it does not bound them, and a single byte keeps a whole block of memory. When
/// they keep too much, who keeps most loses his oldest stream, and after a while each stream ends whose message does not. Thread-safe.
/// </summary>
internal sealed class HalfSentMessages(IOptions<LimitOptions> limits, MeshMetrics metrics, TimeProvider time) : BackgroundService
{
    /// <summary>So long a message may take to arrive.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>What all of them may keep: 32 MiB, which is so many messages of the greatest size or 512 short ones, and never more than a quarter of what may be held in all.</summary>
    private const long Most = 32 << 20;

    /// <summary>A segment of a body is a block of the memory of connections.</summary>
    private const int BlockBytes = 64 * 1024;

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(5);

    private readonly long _most = limits.Value.MemoryValue is > 0 and var limit ? Math.Min(Most, limit / 4) : Most;
    private readonly Lock _lock = new();
    private readonly HashSet<Body> _begun = [];
    private readonly Dictionary<IPAddress, long> _byAddress = [];
    private long _bytes;

    /// <summary>Bytes in blocks that they keep at this moment.</summary>
    public long Bytes => Interlocked.Read(ref _bytes);

    /// <summary>Serves a request of the mesh listener and counts what its body keeps.</summary>
    public async Task WatchAsync(HttpContext context, RequestDelegate next)
    {
        using var body = new Body(this, context.Request.BodyReader, context.Connection.RemoteIpAddress ?? IPAddress.None, context.Abort);
        context.Features.Set<IRequestBodyPipeFeature>(body);
        await next(context);
    }

    /// <summary>A body whose messages are watched.</summary>
    internal Body Watch(PipeReader reader, IPAddress address, Action abort) => new(this, reader, address, abort);

    /// <summary>Ends the streams whose message has taken too long.</summary>
    internal void EndLate()
    {
        var late = new List<Body>();
        lock (_lock)
        {
            late.AddRange(_begun.Where(body => time.GetElapsedTime(body.Since) >= Patience));
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

    private void Keeps(Body body, int blocks, bool isAnother)
    {
        // Most messages are whole when they are looked at. Only the body's own user, who calls this, makes the bytes more than none.
        if (blocks == 0 && body.Bytes == 0)
        {
            return;
        }

        var ended = new List<Body>();
        lock (_lock)
        {
            if (isAnother || blocks == 0)
            {
                Forget(body);
            }

            if (blocks == 0 || body.IsEnded)
            {
                return;
            }

            if (_begun.Add(body))
            {
                body.Since = time.GetTimestamp();
            }

            Add(body, ((long)blocks * BlockBytes) - body.Bytes);
            while (_bytes > _most)
            {
                var greatest = _byAddress.MaxBy(caller => caller.Value).Key;
                var oldest = _begun.Where(other => other.Address.Equals(greatest)).MinBy(other => other.Since)!;
                End(oldest);
                ended.Add(oldest);
            }
        }

        ended.ForEach(Abort);
    }

    private void Forget(Body body)
    {
        if (_begun.Remove(body))
        {
            Add(body, -body.Bytes);
        }
    }

    private void Add(Body body, long bytes)
    {
        body.Bytes += bytes;
        Interlocked.Add(ref _bytes, bytes);
        if ((_byAddress[body.Address] = _byAddress.GetValueOrDefault(body.Address) + bytes) == 0)
        {
            _byAddress.Remove(body.Address);
        }
    }

    private void End(Body body)
    {
        Forget(body);
        body.IsEnded = true;
    }

    // Outside the lock: the server calls back.
    private void Abort(Body body)
    {
        metrics.Refused(MeshRefusal.Message);
        body.Abort();
    }

    /// <summary>The body of one request. Used by one at a time, as bodies are; the lock of the owner protects its properties.</summary>
    internal sealed class Body(HalfSentMessages owner, PipeReader inner, IPAddress address, Action abort) : PipeReader, IRequestBodyPipeFeature, IDisposable
    {
        private readonly Lock _aborting = new();
        private ReadOnlySequence<byte> _read;
        private long _bytes;
        private bool _isOver;

        public PipeReader Reader => this;

        /// <summary>Whose it is: an address, or of IPv6 the network, in which one host has as many addresses as it likes.</summary>
        public IPAddress Address { get; } = CallerAddress.Network(address);

        public long Bytes
        {
            get => Interlocked.Read(ref _bytes);
            set => Interlocked.Exchange(ref _bytes, value);
        }

        /// <summary>When the message began that is not whole.</summary>
        public long Since { get; set; }

        public bool IsEnded { get; set; }

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
            owner.Keeps(this, blocks, isAnother);
        }

        public override void CancelPendingRead() => inner.CancelPendingRead();

        public override void Complete(Exception? exception = null)
        {
            owner.Keeps(this, 0, isAnother: false);
            inner.Complete(exception);
        }

        /// <summary>Ends the stream, unless its request is over: then the server may use what belonged to it for another one.</summary>
        public void Abort()
        {
            lock (_aborting)
            {
                if (_isOver)
                {
                    return;
                }

                try
                {
                    abort();
                }
                catch (Exception)
                {
                    // The stream is broken, then. Others are still to be ended, and who called is not to end for it.
                }
            }
        }

        public void Dispose()
        {
            owner.Keeps(this, 0, isAnother: false);
            lock (_aborting)
            {
                _isOver = true;
            }
        }
    }
}
