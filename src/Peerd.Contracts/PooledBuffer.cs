using System.Buffers;

namespace Peerd.Contracts;

/// <summary>
/// Bytes of a rented array: the only owner type of pooled bytes. Dispose gives the array back, once, however often it
/// is called; the memory must not be touched afterwards.
/// </summary>
public sealed class PooledBuffer : IDisposable
{
    private const byte Poison = 0xDB;

    private static long _heldBytes;

    private readonly int _length;
    private byte[]? _array;

    private PooledBuffer(byte[] array, int length)
    {
        _array = array;
        _length = length;
    }

    /// <summary>Overwrite returned arrays, so that a test sees when somebody reads a buffer that was given back.</summary>
    public static bool PoisonOnReturn { get; set; }

    /// <summary>Bytes that are rented at this moment, of the whole process.</summary>
    public static long HeldBytes => Interlocked.Read(ref _heldBytes);

    /// <summary>The bytes.</summary>
    /// <exception cref="ObjectDisposedException">They were given back.</exception>
    public Memory<byte> Memory
    {
        get
        {
            var array = _array;
            ObjectDisposedException.ThrowIf(array is null, this);
            return array.AsMemory(0, _length);
        }
    }

    /// <summary>Rents <paramref name="length"/> bytes of unspecified content.</summary>
    public static PooledBuffer Rent(int length)
    {
        var array = ArrayPool<byte>.Shared.Rent(length);
        Interlocked.Add(ref _heldBytes, array.Length);
        return new PooledBuffer(array, length);
    }

    /// <inheritdoc />
    public void Dispose()
    {
        var array = Interlocked.Exchange(ref _array, null);
        if (array is null)
        {
            return;
        }

        if (PoisonOnReturn)
        {
            array.AsSpan().Fill(Poison);
        }

        Interlocked.Add(ref _heldBytes, -array.Length);
        ArrayPool<byte>.Shared.Return(array);
    }
}
