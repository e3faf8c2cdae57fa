using System.Buffers;
using System.Collections.Concurrent;
using System.IO.Pipelines;
using System.Net;
using System.Security.Cryptography;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Storage;

namespace Peerd.Tests.Facade;

/// <summary>A content and the ways in which reading it may go wrong.</summary>
internal sealed class FakeContent(byte[] bytes, string? mediaType)
{
    public byte[] Bytes => bytes;

    public string? MediaType => mediaType;

    /// <summary>Size that is claimed; the true one when null.</summary>
    public long? ClaimedSize { get; init; }

    /// <summary>Not null: cannot be read, for this reason.</summary>
    public ContentFacts? Refusal { get; init; }

    /// <summary>No source has this byte of the content, nor those after it.</summary>
    public long FailsAt { get; set; } = long.MaxValue;

    /// <summary>The bytes do not match the digest, which is known only at the end.</summary>
    public bool IsWrong { get; init; }

    /// <summary>Opening waits for it.</summary>
    public Task OpenGate { get; init; } = Task.CompletedTask;

    /// <summary>Bytes from <see cref="GateAt"/> on wait for it.</summary>
    public Task CopyGate { get; init; } = Task.CompletedTask;

    public long GateAt { get; init; }

    /// <summary>Set when a reading has come to <see cref="GateAt"/>.</summary>
    public TaskCompletionSource AtGate { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Throws instead of saying that the reader is gone.</summary>
    public bool ThrowsWhenCancelled { get; init; }

    /// <summary>Leaves flushing to the caller.</summary>
    public bool NeverFlushes { get; init; }

    /// <summary>An unforeseen error on opening.</summary>
    public Exception? Bug { get; init; }

    /// <summary>Set when somebody opens it.</summary>
    public TaskCompletionSource Opening { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Set when opening or a copy was cancelled.</summary>
    public TaskCompletionSource Cancelled { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Set when a reading was disposed.</summary>
    public TaskCompletionSource Disposed { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
}

/// <summary>The read path in memory, with switches for every failure that it may report.</summary>
internal sealed class FakeContentReader : IContentReader
{
    private readonly ConcurrentDictionary<Digest, FakeContent> _contents = new();
    private int _openReadings;

    public ConcurrentQueue<(ContentRequest Request, Func<long, ByteRange>? Range)> Opened { get; } = new();

    public ConcurrentQueue<ContentRequest> Asked { get; } = new();

    public int OpenReadings => _openReadings;

    public Digest Add(byte[] bytes, string? mediaType = null) => Add(new FakeContent(bytes, mediaType));

    public Digest Add(FakeContent content) => Add(Digest.OfSha256(content.Bytes), content);

    public Digest AddSha512(byte[] bytes, string? mediaType = null) =>
        Add(Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData(bytes)), new FakeContent(bytes, mediaType));

    public async Task<ContentFacts> StatAsync(ContentRequest request, CancellationToken cancellationToken)
    {
        Asked.Enqueue(request);
        var content = _contents.GetValueOrDefault(request.Digest);
        if (content is not null)
        {
            await content.OpenGate.WaitAsync(cancellationToken);
        }

        return Facts(content);
    }

    public async Task<IContentReading> OpenAsync(ContentRequest request, Func<long, ByteRange>? range, CancellationToken cancellationToken)
    {
        Opened.Enqueue((request, range));
        var content = _contents.GetValueOrDefault(request.Digest);
        if (content is not null)
        {
            content.Opening.TrySetResult();
            try
            {
                await content.OpenGate.WaitAsync(cancellationToken);
            }
            catch (OperationCanceledException)
            {
                content.Cancelled.TrySetResult();
                throw;
            }
        }

        if (content?.Bug is { } bug)
        {
            throw bug;
        }

        Interlocked.Increment(ref _openReadings);
        return new Reading(content, Facts(content), () => Interlocked.Decrement(ref _openReadings));
    }

    private Digest Add(Digest digest, FakeContent content)
    {
        _contents[digest] = content;
        return digest;
    }

    private static ContentFacts Facts(FakeContent? content) =>
        content is null ? new ContentFacts(HttpStatusCode.NotFound)
        : content.Refusal ?? new ContentFacts(HttpStatusCode.OK, content.ClaimedSize ?? content.Bytes.Length, content.MediaType);

    private sealed class Reading(FakeContent? content, ContentFacts facts, Action disposed) : IContentReading
    {
        private const int Chunk = 16 * 1024;

        public ContentFacts Facts => facts;

        public ContentFacts? Failure => null;

        public ByteSource Source => ByteSource.None;

        public Task<bool> WaitVerifiedAsync(CancellationToken cancellationToken) =>
            Task.FromResult(content is { IsWrong: false } && content.FailsAt >= content.Bytes.Length);

        public async Task<CopyOutcome> CopyToAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken)
        {
            Assert.NotNull(content);
            var available = Math.Min(content.FailsAt, content.IsWrong ? content.Bytes.Length - 1 : content.Bytes.Length);
            try
            {
                var position = range.Offset;
                while (position < Math.Min(range.End, available))
                {
                    if (position >= content.GateAt)
                    {
                        content.AtGate.TrySetResult();
                        await content.CopyGate.WaitAsync(cancellationToken);
                    }

                    var length = (int)Math.Min(Chunk, Math.Min(range.End, available) - position);
                    destination.Write(content.Bytes.AsSpan((int)position, length));
                    position += length;
                    if (!content.NeverFlushes && (await destination.FlushAsync(cancellationToken)).IsCompleted)
                    {
                        return CopyOutcome.ReaderGone;
                    }
                }

                return position == range.End ? CopyOutcome.Complete : CopyOutcome.SourceFailed;
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                content.Cancelled.TrySetResult();
                return content.ThrowsWhenCancelled ? throw new OperationCanceledException(cancellationToken) : CopyOutcome.ReaderGone;
            }
        }

        public Task<CopyOutcome> PeekAsync(PipeWriter destination, ByteRange range, CancellationToken cancellationToken) => CopyToAsync(destination, range, cancellationToken);

        public ValueTask DisposeAsync()
        {
            disposed();
            content?.Disposed.TrySetResult();
            return ValueTask.CompletedTask;
        }
    }
}
