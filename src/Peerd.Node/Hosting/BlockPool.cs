using System.Buffers;
using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using Microsoft.AspNetCore.Connections;
using Peerd.Node.Limits;

namespace Peerd.Node.Hosting;

/// <summary>
/// Memory of Kestrel's connections in blocks that hold whole HTTP/2 frames. With Kestrel's own blocks of 4 KiB, sending
/// costs a third more processor time: each frame is copied and handed to the kernel in pieces. Thread-safe.
/// </summary>
internal sealed class BlockPool : MemoryPool<byte>, IMemoryPoolFactory<byte>
{
    private const int BlockSize = 64 * 1024;

    /// <summary>
    /// Blocks that are kept while nobody needs them: 64 MiB. Each message that waits on one of a thousand Lookup streams
    /// takes one; blocks that are made and thrown away over and over keep the collector at work all the time.
    /// </summary>
    private const int MaxFree = 1024;

    /// <summary>The same of <see cref="SmallBlocks"/>: 16 MiB.</summary>
    private const int MaxFreeSmall = 4096;

    private readonly ConcurrentQueue<Block> _free = new();
    private readonly ConcurrentQueue<Block> _freeSmall = new();
    private long _rentedBytes;

    /// <summary>Bytes that connections hold at this moment.</summary>
    public long RentedBytes => Interlocked.Read(ref _rentedBytes);

    public override int MaxBufferSize => BlockSize;

    /// <summary>All connections share one pool, so that what one needs no more serves another.</summary>
    public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => this;

    /// <exception cref="ArgumentOutOfRangeException">More than <see cref="MaxBufferSize"/> is asked for.</exception>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockSize);
        var isSmall = SmallBlocks.IsWanted && minBufferSize <= SmallBlocks.Size;
        if (!(isSmall ? _freeSmall : _free).TryDequeue(out var block))
        {
            block = new Block(this, isSmall ? SmallBlocks.Size : BlockSize);
        }

        Interlocked.Add(ref _rentedBytes, block.Memory.Length);
        block.IsRented = true;
        return block;
    }

    // Kestrel disposes it with each of its parts, and the others go on.
    protected override void Dispose(bool disposing)
    {
    }

    private sealed class Block : IMemoryOwner<byte>
    {
        private readonly BlockPool _pool;
        private int _rented;

        public Block(BlockPool pool, int size)
        {
            _pool = pool;
            Memory = MemoryMarshal.CreateFromPinnedArray(GC.AllocateUninitializedArray<byte>(size, pinned: true), 0, size);
        }

        public Memory<byte> Memory { get; }

        public bool IsRented
        {
            set => Volatile.Write(ref _rented, value ? 1 : 0);
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _rented, 0) == 0)
            {
                return;
            }

            Interlocked.Add(ref _pool._rentedBytes, -Memory.Length);
            var (free, most) = Memory.Length == BlockSize ? (_pool._free, MaxFree) : (_pool._freeSmall, MaxFreeSmall);
            if (free.Count < most)
            {
                free.Enqueue(this);
            }
        }
    }
}
