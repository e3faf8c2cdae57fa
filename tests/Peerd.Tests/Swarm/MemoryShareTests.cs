using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class MemoryShareTests
{
    [Theory]
    [InlineData(1, 250)]
    [InlineData(2, 250)]
    [InlineData(3, 166)]
    [InlineData(10, 50)]
    public void Bytes_SoManyDownloads_TogetherTakeHalf(int downloads, long bytes)
    {
        var memory = new MemoryShare(1000);
        for (var i = 0; i < downloads; i++)
        {
            memory.Enter();
        }

        Assert.Equal(bytes, memory.Bytes);

        memory.Leave();
        memory.Leave();
        Assert.True(memory.Bytes >= bytes);
    }
}
