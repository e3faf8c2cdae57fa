using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class PooledBufferTests
{
    private const byte Poison = 0xDB;

    [Fact]
    public void Rent_AnyLength_GivesExactlyThatMany()
    {
        using var buffer = PooledBuffer.Rent(70_001);

        Assert.Equal(70_001, buffer.Memory.Length);
    }

    [Fact]
    public void Dispose_Buffer_PoisonsWhatItHeldAndCannotBeUsedAgain()
    {
        var buffer = PooledBuffer.Rent(1000);
        var memory = buffer.Memory;
        memory.Span.Fill(1);

        buffer.Dispose();

        Assert.True(memory.Span.IndexOfAnyExcept(Poison) < 0);
        Assert.Throws<ObjectDisposedException>(() => buffer.Memory);
    }

    [Fact]
    public void Dispose_Twice_GivesTheArrayBackOnce()
    {
        // An array that is in the pool twice is rented by two at the same time. The length is used nowhere else.
        const int Length = 3 << 20;
        var buffer = PooledBuffer.Rent(Length);
        buffer.Dispose();
        buffer.Dispose();

        using var first = PooledBuffer.Rent(Length);
        using var second = PooledBuffer.Rent(Length);

        Assert.False(first.Memory.Span.Overlaps(second.Memory.Span));
    }
}
