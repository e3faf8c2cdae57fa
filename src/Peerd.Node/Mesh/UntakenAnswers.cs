using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// What was written to callers of the mesh listener and was not taken yet, but for ranges, which have places and deadlines. An answer keeps
/// its memory until there is room for it in what the caller will take. A short one, of which the server does not tell when that is, keeps a
/// small block. Of longer ones, who keeps more than his share loses his oldest stream, and when all keep too much, the one who keeps most. Thread-safe.
/// </summary>
internal sealed class UntakenAnswers(IOptions<LimitOptions> limits, RingSource rings, MeshMetrics metrics, TimeProvider time)
{
    /// <summary>So long a caller may be busy while all keep more than two shares, before his stream is ended.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private const int BlockBytes = SmallBlocks.Size;

    /// <summary>Of one caller: 16 MiB, and never more than a twelfth of what may be held in all.</summary>
    private const long Share = 16 << 20;

    /// <summary>Shares that all may keep for longer than <see cref="Patience"/>, and that they may keep at all.</summary>
    private const int SharesForLong = 2;
    private const int Shares = 4;

    private readonly long _share = limits.Value.MemoryValue is > 0 and var limit ? Math.Min(Share, limit / 12) : Share;
    private readonly Lock _lock = new();
    private readonly HashSet<Answer> _waiting = [];
    private readonly KeptBytes _kept = new();

    /// <summary>Bytes in blocks that they keep at this moment.</summary>
    public long Bytes => _kept.All;

    /// <summary>Serves a request of the mesh listener, and what it answers until that was taken.</summary>
    public async Task WatchAsync(HttpContext context, RequestDelegate next)
    {
        if (context.Request.Path.Value == PeerMethods.FetchRange.FullName)
        {
            await next(context);
            return;
        }

        var inner = context.Features.GetRequiredFeature<IHttpResponseBodyFeature>();
        using var answer = new Answer(this, inner, rings.CountedAs(context.Connection.RemoteIpAddress ?? IPAddress.None), context.Abort);
        context.Features.Set<IHttpResponseBodyFeature>(answer);
        await next(context);

        // The answer of a call of a single message is left to the server, which would not wait for it here.
        await answer.FlushRestAsync();
    }

    /// <summary>An answer whose bytes are watched.</summary>
    internal Answer Watch(IHttpResponseBodyFeature inner, IPAddress caller, Action abort) => new(this, inner, caller, abort);

    private void Wait(Answer answer, long bytes)
    {
        var ended = new List<Answer>();
        lock (_lock)
        {
            answer.Since = time.GetTimestamp();
            answer.Bytes = (bytes + BlockBytes - 1) / BlockBytes * BlockBytes;
            _waiting.Add(answer);
            _kept.Add(answer.Caller, answer.Bytes);
            while (FindGreedy(answer.Caller) is { } greedy)
            {
                Forget(greedy);
                ended.Add(greedy);
            }
        }

        // Outside the lock: the server calls back.
        foreach (var one in ended)
        {
            metrics.Refused(MeshRefusal.Answer);
            one.Abort();
        }
    }

    private void Taken(Answer answer)
    {
        lock (_lock)
        {
            Forget(answer);
        }
    }

    private Answer? FindGreedy(IPAddress caller)
    {
        // This machine's addresses may be those of any number of nodes.
        if (_kept.Of(caller) > _share && !IPAddress.IsLoopback(caller))
        {
            return OldestOf(caller);
        }

        if (_kept.All <= SharesForLong * _share)
        {
            return null;
        }

        var oldest = OldestOf(_kept.Greediest);
        return _kept.All > Shares * _share || time.GetElapsedTime(oldest.Since) >= Patience ? oldest : null;
    }

    private Answer OldestOf(IPAddress caller) => _waiting.Where(answer => answer.Caller.Equals(caller)).MinBy(answer => answer.Since)!;

    private void Forget(Answer answer)
    {
        if (_waiting.Remove(answer))
        {
            _kept.Add(answer.Caller, -answer.Bytes);
        }
    }

    /// <summary>The body of one answer. Used by one at a time, as bodies are; the lock of the owner protects its properties.</summary>
    internal sealed class Answer(UntakenAnswers owner, IHttpResponseBodyFeature inner, IPAddress caller, Action abort) : PipeWriter, IHttpResponseBodyFeature, IDisposable
    {
        private readonly PipeWriter _inner = inner.Writer;
        private readonly StreamEnd _end = new(abort);
        private long _unflushed;

        public IPAddress Caller => caller;

        public long Bytes { get; set; }

        /// <summary>When it was written.</summary>
        public long Since { get; set; }

        public Stream Stream => inner.Stream;

        public PipeWriter Writer => this;

        public override bool CanGetUnflushedBytes => _inner.CanGetUnflushedBytes;

        public override long UnflushedBytes => _inner.UnflushedBytes;

        public void DisableBuffering() => inner.DisableBuffering();

        public Task StartAsync(CancellationToken cancellationToken = default) => inner.StartAsync(cancellationToken);

        public Task SendFileAsync(string path, long offset, long? count, CancellationToken cancellationToken = default) => inner.SendFileAsync(path, offset, count, cancellationToken);

        Task IHttpResponseBodyFeature.CompleteAsync() => inner.CompleteAsync();

        public override Memory<byte> GetMemory(int sizeHint = 0) => SmallBlocks.GetMemory(_inner, sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

        public override void Advance(int bytes)
        {
            _unflushed += bytes;
            _inner.Advance(bytes);
        }

        public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            var bytes = _unflushed;
            _unflushed = 0;
            var flush = _inner.FlushAsync(cancellationToken);
            return bytes == 0 || flush.IsCompleted ? flush : WaitAsync(flush, bytes);
        }

        public ValueTask<FlushResult> FlushRestAsync() => _unflushed > 0 ? FlushAsync() : default;

        public override void CancelPendingFlush() => _inner.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => _inner.Complete(exception);

        public void Abort() => _end.Abort();

        public void Dispose() => _end.Dispose();

        private async ValueTask<FlushResult> WaitAsync(ValueTask<FlushResult> flush, long bytes)
        {
            owner.Wait(this, bytes);
            try
            {
                return await flush;
            }
            finally
            {
                owner.Taken(this);
            }
        }
    }
}
