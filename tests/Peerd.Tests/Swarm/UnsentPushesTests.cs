using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class UnsentPushesTests
{
    private readonly UnsentPushes _unsent = new(100);
    private readonly List<string> _cut = [];

    [Fact]
    public void Set_MoreThanMayBe_WhoHasNotTakenAllForLongestIsCutOff()
    {
        var (first, second, third) = (Open("first"), Open("second"), Open("third"));
        first.Set(40);
        second.Set(40);
        first.Set(0);
        first.Set(10);
        third.Set(50);
        Assert.Empty(_cut);

        third.Set(51);

        Assert.Equal(["second"], _cut);
        Assert.Equal(61, _unsent.Bytes);

        // It is on its way out.
        second.Set(90);
        Assert.Equal(61, _unsent.Bytes);
    }

    [Fact]
    public void Set_OneAloneHasMoreThanMayBe_IsCutOff()
    {
        Open("one").Set(101);

        Assert.Equal(["one"], _cut);
        Assert.Equal(0, _unsent.Bytes);
    }

    [Fact]
    public void Dispose_SomethingIsNotTaken_IsForgotten()
    {
        var first = Open("first");
        first.Set(60);

        first.Dispose();

        Open("second").Set(100);
        Assert.Empty(_cut);
        Assert.Equal(100, _unsent.Bytes);
    }

    private UnsentPushes.Share Open(string name) => _unsent.Open(() => _cut.Add(name));
}
