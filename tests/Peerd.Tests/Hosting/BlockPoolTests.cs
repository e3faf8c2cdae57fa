using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class BlockPoolTests
{
    [Fact]
    public void Rent_AfterReturn_GivesTheSameBlockToOneOnly()
    {
        using var pool = new BlockPool();
        var first = pool.Rent(10);
        first.Dispose();
        first.Dispose();

        var second = pool.Rent();
        var third = pool.Rent();

        Assert.Same(first, second);
        Assert.NotSame(second, third);
        Assert.Equal(pool.MaxBufferSize, third.Memory.Length);
    }

    [Fact]
    public void Rent_TooMuch_IsRefused()
    {
        using var pool = new BlockPool();

        Assert.Throws<ArgumentOutOfRangeException>(() => pool.Rent(pool.MaxBufferSize + 1));
    }

    [Fact]
    public void Create_DisposedByOneUser_OthersGoOn()
    {
        using var pool = new BlockPool();
        pool.Create().Dispose();

        Assert.Equal(pool.MaxBufferSize, pool.Create().Rent().Memory.Length);
    }
}
