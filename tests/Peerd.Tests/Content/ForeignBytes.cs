using System.Security.Cryptography;
using Peerd.Node.Storage;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>A content that another program on the node keeps and has to be asked for.</summary>
/// <param name="sample">The content.</param>
/// <param name="readable">Bytes from the beginning on that it gives; others are gone again when they are read.</param>
/// <param name="answers">False: it takes questions and says nothing.</param>
internal sealed class ForeignBytes(SampleContent sample, long readable, bool answers = true) : ExternalBytes(sample.Bytes.Length)
{
    public override bool IsStale => false;

    public override bool NeedsPreparation => true;

    public override ValueTask PrepareAsync(long offset, long length, CancellationToken cancellationToken) =>
        answers ? ValueTask.CompletedTask : new ValueTask(Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, cancellationToken));

    public override ExternalRead TryRead(long offset, Span<byte> buffer)
    {
        if (offset + buffer.Length > readable)
        {
            return new ExternalRead("it is gone again", IsLost: false);
        }

        sample.Bytes.AsSpan((int)offset, buffer.Length).CopyTo(buffer);
        return ExternalRead.Done;
    }

    public override Task HashAsync(IncrementalHash hash, CancellationToken cancellationToken)
    {
        hash.AppendData(sample.Bytes);
        return Task.CompletedTask;
    }
}
