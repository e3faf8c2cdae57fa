using System.IO.Pipelines;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Content;

/// <summary>
/// Reads contents that are in quarantine at their origin, for one client each time and without keeping any of it. They are compared
/// with their digest all the same: when it is right, the content is in quarantine no more. Thread-safe.
/// </summary>
internal sealed class UnsharedReads(IOrigin origin, Quarantine quarantine, ServedBytes served, IntegrityFailures failures, TimeProvider time)
{
    private const int BlockSize = 64 * 1024;

    /// <summary>Each keeps a place at the registry for as long as its client reads: others must come to it, too.</summary>
    private const int Most = 4;

    /// <summary>A client that takes nothing for this long is given up.</summary>
    private static readonly TimeSpan ClientTimeout = TimeSpan.FromSeconds(120);

    private int _open;

    /// <inheritdoc cref="IContentReader.StatAsync"/>
    public async Task<ContentFacts> StatAsync(ContentRequest request, CancellationToken cancellationToken)
    {
        await using var answer = await origin.StatAsync(request.Origin, cancellationToken);
        return FactsOf(answer);
    }

    /// <summary>Opens a content, or says why not; null when it is found right at once, and can be read as others are.</summary>
    /// <inheritdoc cref="IContentReader.OpenAsync"/>
    public async Task<IContentReading?> OpenAsync(ContentRequest request, Func<long, ByteRange>? range, CancellationToken cancellationToken)
    {
        if (Interlocked.Increment(ref _open) > Most)
        {
            Interlocked.Decrement(ref _open);
            return Refused(new ContentFacts(HttpStatusCode.ServiceUnavailable, Error: "too many read what does not match its digest"));
        }

        var isOpen = false;
        OriginResponse? answer = null;
        try
        {
            answer = await origin.ReadAsync(request.Origin, range: null, cancellationToken);
            if (request.Origin.Kind == OriginKind.Manifest && answer.Outcome == OriginOutcome.Ok)
            {
                return await JudgeAsync(answer, request.Digest, cancellationToken) switch
                {
                    true => null,
                    false => Refused(Mismatch),
                    null => Refused(new ContentFacts(HttpStatusCode.BadGateway, Error: "the origin broke off")),
                };
            }

            var facts = FactsOf(answer);
            if (!facts.IsFound)
            {
                return Refused(facts);
            }

            // A part cannot be compared, and who gets it would believe that it was.
            if (range?.Invoke(facts.Size) is { } part && part != new ByteRange(0, facts.Size))
            {
                return Refused(Mismatch);
            }

            // Nothing of it would be read, and nothing compared.
            if (facts.Size == 0 && !JudgeEmpty(request.Digest))
            {
                return Refused(Mismatch);
            }

            var reading = new Reading(this, request.Digest, facts, answer);
            (answer, isOpen) = (null, true);
            return reading;
        }
        finally
        {
            if (answer is not null)
            {
                await answer.DisposeAsync();
            }

            if (!isOpen)
            {
                Interlocked.Decrement(ref _open);
            }
        }
    }

    private static ContentFacts Mismatch => new(HttpStatusCode.BadGateway, Error: "what the origin sends does not match the digest");

    private Reading Refused(ContentFacts facts) => new(this, default, facts, answer: null);

    private static ContentFacts FactsOf(OriginResponse answer) => answer.Outcome != OriginOutcome.Ok ? ContentReader.FactsOf(SourceFailure.Of(answer))
        : answer.TotalSize is { } size ? new ContentFacts(HttpStatusCode.OK, size, ContentMediaType.Of(answer.MediaType))
        : new ContentFacts(HttpStatusCode.BadGateway, Error: "the origin does not tell the size");

    /// <summary>Reads all of it: whether it is right, or null when that was not to be found out.</summary>
    private async Task<bool?> JudgeAsync(OriginResponse answer, Digest digest, CancellationToken cancellationToken)
    {
        using var hash = digest.CreateHash();
        using var buffer = PooledBuffer.Rent(BlockSize);
        try
        {
            int read;
            while ((read = await answer.Body.ReadAsync(buffer.Memory, cancellationToken)) > 0)
            {
                hash.AppendData(buffer.Memory.Span[..read]);
            }
        }
        catch (IOException)
        {
            return null;
        }

        return Judge(digest, digest.Matches(hash));
    }

    /// <summary>The origin sends no bytes: right only if the digest is that of none.</summary>
    private bool JudgeEmpty(Digest digest)
    {
        using var hash = digest.CreateHash();
        return Judge(digest, digest.Matches(hash));
    }

    /// <summary>Notes what came of the comparison, and returns it.</summary>
    private bool Judge(Digest digest, bool isRight)
    {
        if (isRight)
        {
            quarantine.Matched(digest);
        }
        else
        {
            failures.Add(WrongBytes.Content);
        }

        return isRight;
    }

    /// <param name="reads">What it is of.</param>
    /// <param name="digest">The content.</param>
    /// <param name="facts">Of the content.</param>
    /// <param name="answer">The whole of it; null when there is nothing to be read.</param>
    private sealed class Reading(UnsharedReads reads, Digest digest, ContentFacts facts, OriginResponse? answer) : IContentReading
    {
        private bool _isClosed;

        public ContentFacts Facts => facts;

        public ContentFacts? Failure => null;

        public ByteSource Source { get; private set; }

        // Nobody can tell before it has been read, and then it is gone.
        public Task<bool> WaitVerifiedAsync(CancellationToken cancellationToken) => Task.FromResult(false);

        public Task<CopyOutcome> PeekAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken) => Task.FromResult(CopyOutcome.SourceFailed);

        public async Task<CopyOutcome> CopyToAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken)
        {
            using var stalled = new CancellationTokenSource(Timeout.InfiniteTimeSpan, reads.Time);
            using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, stalled.Token);
            using var hash = digest.CreateHash();
            try
            {
                for (var left = range.Length; left > 0;)
                {
                    var block = destination.GetMemory(BlockSize)[..(int)Math.Min(BlockSize, left)];
                    var read = await answer!.Body.ReadAsync(block, cancellationToken);
                    hash.AppendData(block.Span[..read]);
                    left -= read;

                    // The client never has the whole of what is wrong.
                    if (read == 0 || (left == 0 && !reads.Judge(digest, digest.Matches(hash))))
                    {
                        return CopyOutcome.SourceFailed;
                    }

                    destination.Advance(read);
                    reads.Served.Add(ByteSource.Origin, read);
                    Source = ByteSource.Origin;
                    stalled.CancelAfter(ClientTimeout);
                    var flushed = await destination.FlushAsync(stop.Token);
                    stalled.CancelAfter(Timeout.InfiniteTimeSpan);
                    if (flushed.IsCompleted || flushed.IsCanceled)
                    {
                        return CopyOutcome.ReaderGone;
                    }
                }

                return CopyOutcome.Complete;
            }
            catch (IOException)
            {
                return CopyOutcome.SourceFailed;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested || cancellationToken.IsCancellationRequested)
            {
                return CopyOutcome.ReaderGone;
            }
        }

        public ValueTask DisposeAsync()
        {
            if (answer is null || Interlocked.Exchange(ref _isClosed, true))
            {
                return ValueTask.CompletedTask;
            }

            Interlocked.Decrement(ref reads._open);
            return answer.DisposeAsync();
        }
    }

    private ServedBytes Served => served;

    private TimeProvider Time => time;
}
