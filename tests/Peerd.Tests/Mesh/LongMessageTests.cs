using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

/// <summary>Messages of several frames, as contents from 128 MiB on have them: of one of 256 MiB, of which only the beginning is here.</summary>
public sealed class LongMessageTests : IDisposable
{
    private const int Frame = 64 * 1024;

    private static readonly byte[] Bytes = CreateBytes();
    private static readonly Digest Content = Digest.OfSha256("long"u8);

    private readonly CacheFolder _folder = new();
    private RangeSetup? _setup;
    private ContentLease? _lease;

    public void Dispose()
    {
        _lease?.Dispose();
        _setup?.Dispose();
        if (_setup is null)
        {
            _folder.Dispose();
        }
    }

    [Fact]
    public async Task Range_FramesThatAreHere_ComeFourInAMessage()
    {
        Write(frames: 9);

        Assert.Equal([(1, 4), (5, 3)], await AskAsync(first: 1, end: 8));
    }

    [Fact]
    public async Task Range_FrameIsMissing_TheMessageEndsBeforeIt()
    {
        Write(frames: 6);

        Assert.Equal([(0, 4), (4, 2)], await AskAsync(first: 0, end: 9, RangeStatus.NotHeld));
    }

    [Fact]
    public async Task Range_FrameOnDiskHasChanged_ThoseBeforeItAreSentWithoutIt()
    {
        Write(frames: 32);
        using (var file = File.OpenWrite(Assert.Single(_folder.Files("*.data"))))
        {
            // Of the second piece.
            file.Position = 16 * Frame;
            file.WriteByte((byte)~Bytes[16 * Frame]);
        }

        Assert.Equal([(13, 1), (14, 2)], await AskAsync(first: 13, end: 32, RangeStatus.NotHeld));
    }

    [Fact]
    public async Task FetchRange_ByTheGeneratedClient_HasAllBytesAndChecksums()
    {
        await using var mesh = await TestMesh.StartAsync();
        using var lease = Open(mesh.Node.Cache);
        Write(lease.Content, frames: 9);
        using var client = new RangeClient(mesh.Node);

        await client.AskAsync(1, Content, Frame, 8 * Frame);
        var answer = await client.ReadAsync(1);

        Assert.Equal(RangeStatus.Complete, answer.End.Status);
        Assert.Equal(Bytes[Frame..(9 * Frame)], answer.Bytes);
    }

    private static byte[] CreateBytes()
    {
        var bytes = new byte[32 * Frame];
        new Random(1).NextBytes(bytes);
        return bytes;
    }

    private static ReadOnlySpan<byte> BytesOf(int frame) => Bytes.AsSpan(frame * Frame, Frame);

    private static ContentLease Open(PieceCache cache)
    {
        var lease = cache.Open(Content, 256L << 20, mediaType: null);
        Assert.Equal((Frame, 4, 16), (lease.Content.Layout.FrameSize, lease.Content.Layout.FramesPerMessage, lease.Content.Layout.FramesPerPiece));
        return lease;
    }

    private static void Write(CachedContent content, int frames)
    {
        for (var frame = 0; frame < frames; frame++)
        {
            content.WriteFrame(frame, BytesOf(frame), FrameChecksum.Compute(BytesOf(frame)));
        }
    }

    /// <summary>Only whole pieces outlive the process that has written them.</summary>
    private void Write(int frames)
    {
        if (frames % 16 == 0)
        {
            using var cache = _folder.Open();
            using var lease = Open(cache);
            Write(lease.Content, frames);
            return;
        }

        _setup = new RangeSetup(folder: _folder);
        _lease = Open(_setup.Cache);
        Write(_lease.Content, frames);
    }

    /// <summary>First frame and number of frames of each message.</summary>
    private async Task<List<(int First, int Count)>> AskAsync(int first, int end, RangeStatus status = RangeStatus.Complete)
    {
        _setup ??= new RangeSetup(folder: _folder);
        var stream = _setup.Ask(new FetchRange { Id = 1, Digest = Content.ToString(), Offset = first * Frame, Length = (end - first) * Frame });
        var messages = new List<(int, int)>();
        while (true)
        {
            var next = await stream.NextAsync();
            if (next.End is { } ended)
            {
                Assert.Equal(status, ended.Status);
                return messages;
            }

            if (next.Answer.Control is null)
            {
                var frame = (int)(next.Answer.Offset / Frame);
                var count = next.Answer.Length / Frame;
                ulong[] checksums = [next.Answer.Checksum, .. next.Answer.NextChecksums];
                Assert.Equal(Enumerable.Range(frame, count).Select(each => FrameChecksum.Compute(BytesOf(each))), checksums);
                messages.Add((frame, count));
            }
        }
    }
}
