using System.Security.Cryptography;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>What hashing in order needs of the download that it is for.</summary>
internal interface IOrderedHashUser
{
    /// <summary>Completes when the frame is here; it may be gone again then.</summary>
    ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken);

    /// <summary>The frame is not here any more and is needed again.</summary>
    void FrameLost(int frame);

    /// <summary>So many frames from the beginning on have been hashed; hashing goes on when this completes.</summary>
    ValueTask HashedAsync(int frames, CancellationToken cancellationToken);
}

/// <summary>
/// Hashes one content in order, as it arrives. What was hashed may come again, but not with other bytes. One hashes at a time; how far that
/// has come can be asked by any thread.
/// </summary>
internal sealed class OrderedHash
{
    // By frame; 0 when it has not been hashed.
    private ulong[] _checksums = [];
    private int _frames;

    /// <summary>Frames from the beginning on that have been hashed.</summary>
    public int Frames => Volatile.Read(ref _frames);

    /// <summary>A frame that has this checksum may come: it has not been hashed, or had the same then.</summary>
    public bool Allows(int frame, ulong checksum)
    {
        var checksums = Volatile.Read(ref _checksums);
        var known = frame < checksums.Length ? Volatile.Read(ref checksums[frame]) : 0;
        return known == 0 || known == checksum;
    }

    /// <summary>It begins again.</summary>
    public void Rewind() => _frames = 0;

    /// <summary>What was hashed is dropped, and other bytes may come. Who is hashing goes on with what it had.</summary>
    public void Forget(int frameCount)
    {
        _frames = 0;
        Volatile.Write(ref _checksums, new ulong[frameCount]);
    }

    /// <summary>Hashes all frames from the first on, and returns their checksums.</summary>
    /// <exception cref="FrameLostException">The content was removed from the cache.</exception>
    public async Task<ulong[]> RunAsync(CachedContent content, IncrementalHash hash, IOrderedHashUser user, CancellationToken cancellationToken)
    {
        var layout = content.Layout;
        var checksums = new ulong[layout.FrameCount];
        Volatile.Write(ref _checksums, checksums);
        using var buffer = PooledBuffer.Rent(layout.FrameSize);
        for (var frame = 0; frame < layout.FrameCount;)
        {
            await user.WaitForFrameAsync(frame, cancellationToken);
            await content.PrepareAsync(layout.Frame(frame).Offset, layout.Frame(frame).Length, cancellationToken);
            var bytes = buffer.Memory.Span[..(int)layout.Frame(frame).Length];
            try
            {
                content.Read(layout.Frame(frame).Offset, bytes);
            }
            catch (FrameLostException)
            {
                user.FrameLost(frame);
                continue;
            }

            hash.AppendData(bytes);
            Volatile.Write(ref checksums[frame], FrameChecksum.Compute(bytes));
            frame++;
            Volatile.Write(ref _frames, frame);
            await user.HashedAsync(frame, cancellationToken);
        }

        return checksums;
    }
}
