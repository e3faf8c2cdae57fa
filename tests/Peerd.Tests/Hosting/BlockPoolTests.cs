using System.IO.Pipelines;
using Peerd.Node.Hosting;
using Peerd.Node.Limits;

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
    public void Rent_ForAShortMessage_IsASmallBlock()
    {
        using var pool = new BlockPool();
        var pipe = new Pipe(new PipeOptions(pool, minimumSegmentSize: 4096));
        var other = new Pipe(new PipeOptions(pool, minimumSegmentSize: 4096));

        Assert.Equal(SmallBlocks.Size, SmallBlocks.GetMemory(pipe.Writer, 10).Length);
        Assert.Equal(SmallBlocks.Size, pool.RentedBytes);
        Assert.Equal(pool.MaxBufferSize, other.Writer.GetMemory(10).Length);
        Assert.Equal(SmallBlocks.Size + pool.MaxBufferSize, pool.RentedBytes);
        Assert.Equal(pool.MaxBufferSize, SmallBlocks.GetMemory(pipe.Writer, SmallBlocks.Size + 1).Length);

        pipe.Writer.Complete();
        pipe.Reader.Complete();
        Assert.Equal(pool.MaxBufferSize, pool.RentedBytes);
        Assert.Equal(pool.MaxBufferSize, pool.Rent().Memory.Length);
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
