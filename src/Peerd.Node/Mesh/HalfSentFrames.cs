using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;

namespace Peerd.Node.Mesh;

/// <summary>What a connection reads: a preface, and frames. The server copies of it what it may and keeps the part of a frame until it has the rest. Used by one at a time.</summary>
internal sealed class HalfSentFrames(HalfSentMessages owner, IDuplexPipe inner, HalfSentMessages.Sender sender) : PipeReader, IDuplexPipe, IDisposable
{
    private const int PrefaceBytes = 24;
    private const int HeadBytes = 9;
    private const int LengthBytes = 3;

    private ReadOnlySequence<byte> _read;

    /// <summary>Bytes of the preface or of a frame behind its head that have not come.</summary>
    private int _left = PrefaceBytes;

    /// <summary>Bytes of a head that have come, and what they say of the length.</summary>
    private int _head;
    private int _length;

    public PipeReader Input => this;

    public PipeWriter Output => inner.Output;

    public void Begin()
    {
        sender.IsWhole = false;
        owner.Begins(sender);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    public override async ValueTask<ReadResult> ReadAsync(CancellationToken cancellationToken = default)
    {
        var result = await inner.Input.ReadAsync(cancellationToken);
        _read = result.Buffer;
        return result;
    }

    public override bool TryRead(out ReadResult result)
    {
        var hasRead = inner.Input.TryRead(out result);
        _read = result.Buffer;
        return hasRead;
    }

    public override void AdvanceTo(SequencePosition consumed) => AdvanceTo(consumed, consumed);

    public override void AdvanceTo(SequencePosition consumed, SequencePosition examined)
    {
        var hasEnded = false;
        foreach (var bytes in _read.Slice(_read.Start, consumed))
        {
            hasEnded |= Pass(bytes.Span);
        }

        _read = default;
        inner.Input.AdvanceTo(consumed, examined);
        owner.Keeps(sender, _left == 0 && _head == 0 ? 0 : 1, hasEnded);
    }

    public override void CancelPendingRead() => inner.Input.CancelPendingRead();

    public override void Complete(Exception? exception = null)
    {
        owner.Keeps(sender, 0, isAnother: false);
        inner.Input.Complete(exception);
    }

    public void Dispose()
    {
        owner.Keeps(sender, 0, isAnother: false);
        sender.Dispose();
    }

    /// <summary>Whether the preface or a frame ends in these bytes.</summary>
    private bool Pass(ReadOnlySpan<byte> bytes)
    {
        var hasEnded = false;
        while (!bytes.IsEmpty)
        {
            if (_left > 0)
            {
                var passed = Math.Min(_left, bytes.Length);
                bytes = bytes[passed..];
                hasEnded |= (_left -= passed) == 0;
                continue;
            }

            _length = _head < LengthBytes ? (_length << 8) | bytes[0] : _length;
            bytes = bytes[1..];
            if (++_head == HeadBytes)
            {
                (_left, _head, _length) = (_length, 0, 0);
                hasEnded |= _left == 0;
            }
        }

        return hasEnded;
    }
}
