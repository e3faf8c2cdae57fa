using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class UnsentPushesTests
{
    private readonly UnsentPushes _unsent = new(100);
    private readonly List<string> _cut = [];

    [Fact]
    public void Add_MoreThanMayBe_WhoHasMostIsCutOff()
    {
        var (first, second, third) = (Open("first"), Open("second"), Open("third"));
        first.Add(40);
        second.Add(41);
        first.Add(-30);
        third.Add(40);
        third.Add(9);
        third.Add(-9);
        Assert.Empty(_cut);

        first.Add(10);

        Assert.Equal(["second"], _cut);
        Assert.Equal(60, _unsent.Bytes);

        // It is on its way out.
        second.Add(90);
        Assert.Equal(60, _unsent.Bytes);
    }

    [Fact]
    public void Add_OneAloneHasMoreThanMayBe_IsCutOff()
    {
        Open("one").Add(101);

        Assert.Equal(["one"], _cut);
        Assert.Equal(0, _unsent.Bytes);
    }

    // What was taken may be told before that it was to be.
    [Fact]
    public void Add_LessBeforeMore_IsNothing()
    {
        var one = Open("one");
        one.Add(-20);
        one.Add(20);

        Assert.Equal(0, _unsent.Bytes);
        Open("other").Add(100);
        Assert.Empty(_cut);
    }

    [Fact]
    public void Dispose_SomethingIsNotTaken_IsForgotten()
    {
        var first = Open("first");
        first.Add(60);

        first.Dispose();

        Open("second").Add(100);
        Assert.Empty(_cut);
        Assert.Equal(100, _unsent.Bytes);
    }

    // None of his streams has as much as the one of the other.
    [Fact]
    public void Add_OneCallerHasLittleOnManyStreams_IsTheOneWhoIsCutOff()
    {
        for (var i = 0; i < 60; i++)
        {
            _unsent.Open("many", () => _cut.Add("many")).Add(1);
        }

        Open("one").Add(41);

        Assert.Equal(["many"], _cut);
        Assert.Equal(100, _unsent.Bytes);
    }

    [Fact]
    public void Add_ACallerHasTakenOrLeftWhatHeHadMost_AnotherIsCutOff()
    {
        var shares = Enumerable.Range(1, 3).Select(i => _unsent.Open("many", () => _cut.Add($"many {i}"))).ToList();
        shares.ForEach(share => share.Add(30));
        shares[0].Add(-30);
        shares[1].Dispose();

        Open("one").Add(40);
        Open("two").Add(31);

        Assert.Equal(["one"], _cut);
        Assert.Equal(61, _unsent.Bytes);
    }

    // His others go on: he may be one that was slow for a moment only.
    [Fact]
    public void Add_TheCallerToWhomMostIsToBeTold_LosesTheStreamWithMost()
    {
        foreach (var bytes in new[] { 20, 30, 10 })
        {
            _unsent.Open("many", () => _cut.Add($"many {bytes}")).Add(bytes);
        }

        Open("one").Add(41);

        Assert.Equal(["many 30"], _cut);
        Assert.Equal(71, _unsent.Bytes);
    }

    private UnsentPushes.Share Open(string name) => _unsent.Open(name, () => _cut.Add(name));
}
