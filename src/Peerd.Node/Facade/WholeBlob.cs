using System.IO.Pipelines;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// Sends all of a content below <c>/blobs</c>: from the mesh, and from the byte on where that brings nothing more from the given URL. Whoever
/// brought it, the client has the last byte only when the whole matches the digest. Thread-safe.
/// </summary>
internal sealed class WholeBlob(IContentReader contents, DirectBlob direct, IOptions<BlobOptions> options, TimeProvider time)
{
    /// <summary>A mesh that brings nothing of the content for so long, twice at most, is not waited for any more: later than it reads the origin itself.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    /// <summary>How long the first byte is waited for before the URL is read.</summary>
    private readonly TimeSpan _meshTime = options.Value.MeshTime;

    /// <summary>Answers a GET without a range.</summary>
    /// <param name="context">The exchange.</param>
    /// <param name="request">With a digest and a given URL.</param>
    /// <param name="deadline">Ends the wait for the first byte.</param>
    public async Task<WholeOutcome> SendAsync(HttpContext context, ContentRequest request, CancellationToken deadline)
    {
        var started = time.GetTimestamp();
        if (await OpenAsync(request, deadline) is not { } reading)
        {
            return WholeOutcome.NothingSent;
        }

        await using (reading)
        {
            if (!reading.Facts.IsFound)
            {
                return WholeOutcome.NothingSent;
            }

            var size = reading.Facts.Size;
            using var check = new WholeCheck(request.Digest, size);
            if (check.IsWrong)
            {
                return WholeOutcome.NothingSent;
            }

            DirectBlob.Describe(context.Response, size, reading.Facts.MediaType);
            var outcome = await CopyAsync(context, reading, check, _meshTime - time.GetElapsedTime(started));
            if (check.IsWrong)
            {
                return WholeOutcome.Cut;
            }

            if (outcome is CopyOutcome.Complete)
            {
                return WholeOutcome.Complete;
            }

            if (context.RequestAborted.IsCancellationRequested)
            {
                context.Abort();
                return WholeOutcome.Complete;
            }

            if (check.Count == 0)
            {
                return WholeOutcome.NothingSent;
            }

            // What more of it comes is not for this client any more. Right bytes do not mend what began with wrong ones.
            await reading.DisposeAsync();
            return !reading.IsSpoilt && await direct.CopyRestAsync(context, request.Origin, ByteRange.FromBounds(check.Count, size), size, check, CancellationToken.None) is null
                ? WholeOutcome.Complete
                : WholeOutcome.Cut;
        }
    }

    /// <summary>Opens the content; null when the mesh does not know it soon: then the URL may.</summary>
    private async Task<IContentReading?> OpenAsync(ContentRequest request, CancellationToken deadline)
    {
        using var patience = new CancellationTokenSource(_meshTime, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, deadline);
        try
        {
            return await contents.OpenAsync(request, range: null, either.Token);
        }
        catch (OperationCanceledException) when (!deadline.IsCancellationRequested)
        {
            return null;
        }
    }

    /// <summary>Copies until the mesh brings nothing more: it says so, or nothing of the content has come for long.</summary>
    private async Task<CopyOutcome> CopyAsync(HttpContext context, IContentReading reading, WholeCheck check, TimeSpan patience)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        var writer = new CheckedWriter(context, check, time);
        var copying = reading.CopyToAsync(writer, new ByteRange(0, reading.Facts.Size), stop.Token);
        var seen = (Sent: 0L, Arrived: -1L);
        while (true)
        {
            try
            {
                var outcome = await copying.WaitAsync(patience < TimeSpan.Zero ? TimeSpan.Zero : patience, time);
                FacadeRequest.CameFrom(context, reading.Source);
                return outcome;
            }
            catch (TimeoutException) when (!copying.IsFaulted)
            {
                // Not over, or only just: then the next turn sees how it ended.
            }

            var now = (Sent: check.Count, reading.Arrived);
            if (!writer.IsFlushing && (now.Sent == 0 || now == seen))
            {
                await stop.CancelAsync();
            }

            (seen, patience) = (now, Patience);
        }
    }

    /// <summary>The body of the answer, of which all is compared. One that is slow to take it does not keep the mesh waiting.</summary>
    private sealed class CheckedWriter(HttpContext context, WholeCheck check, TimeProvider time) : PipeWriter
    {
        private readonly PipeWriter _body = context.Response.BodyWriter;
        private Memory<byte> _block;
        private volatile bool _isFlushing;

        /// <summary>It is the client that takes its time.</summary>
        public bool IsFlushing => _isFlushing;

        public override Memory<byte> GetMemory(int sizeHint = 0) => _block = _body.GetMemory(sizeHint);

        public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

        public override void Advance(int bytes)
        {
            var isRight = check.Add(_block.Span[..bytes]);
            _block = _block[bytes..];
            _body.Advance(isRight ? bytes : 0);
        }

        // Not with the token: the wait for the mesh ends with that, and an answer whose flush is cancelled is broken off.
        public override async ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
        {
            if (check.IsWrong)
            {
                return new FlushResult(isCanceled: false, isCompleted: true);
            }

            _isFlushing = true;
            var isSent = await ClientFlush.SendAsync(context, time);
            _isFlushing = false;
            return new FlushResult(isCanceled: false, isCompleted: !isSent);
        }

        public override void CancelPendingFlush() => _body.CancelPendingFlush();

        public override void Complete(Exception? exception = null) => _body.Complete(exception);
    }
}

/// <summary>How sending the whole ended.</summary>
internal enum WholeOutcome
{
    /// <summary>The client has all of it, or is gone.</summary>
    Complete,

    /// <summary>Nothing was sent: the given URL may have it all the same.</summary>
    NothingSent,

    /// <summary>The client has the beginning, and nobody has the rest: the answer must be broken off.</summary>
    Cut,
}
