using Peerd.Contracts;
using Peerd.Node.Content;

namespace Peerd.Tests.Content;

public sealed class StartupOrderTests
{
    private static readonly int[] Known = [.. Enumerable.Range(0, 100).Select(i => i * 7 % 100)];

    [Fact]
    public void Touch_NothingKnown_IsWrittenDownOnce()
    {
        var order = new StartupOrder([]);

        Assert.True(order.Touch(5));
        Assert.False(order.Touch(5));
        Assert.True(order.Touch(2));

        Assert.Equal([5, 2], order.Seen);
        Assert.Empty(order.Ahead(10));
    }

    [Theory]
    [InlineData(0, 0, 1)]
    [InlineData(1, 1, 1)]
    [InlineData(80, 80, 11)]
    public void IsWorthTelling_MoreThanAPartOfWhatIsKnownIsMissingThere_AndNotBefore(int known, int touched, int needed)
    {
        var order = new StartupOrder([.. Enumerable.Range(0, known)]);
        for (var piece = 0; piece < touched + needed; piece++)
        {
            Assert.False(order.IsWorthTelling);
            order.Touch(piece);
        }

        Assert.True(order.IsWorthTelling);
        Assert.Equal(Enumerable.Range(0, touched + needed), order.Seen);
    }

    [Fact]
    public void Touch_ManyPieces_IsBounded()
    {
        var order = new StartupOrder([]);
        for (var piece = 0; piece < 2 * ProtocolConstants.MaxStartupOrder; piece++)
        {
            order.Touch(piece);
        }

        Assert.Equal(ProtocolConstants.MaxStartupOrder, order.Seen.Count);
    }

    [Fact]
    public void Ahead_KnownOrder_BeginsBeforeTheFirstReadAndGoesOnBehindTheLast()
    {
        var order = new StartupOrder(Known);
        Assert.Equal(Known[..8], order.Ahead(8));

        order.Touch(Known[0]);
        Assert.Equal(Known[1..9], order.Ahead(8));
    }

    [Fact]
    public void Ahead_ReaderJumpsForward_IsFollowed()
    {
        var order = new StartupOrder(Known);
        order.Touch(Known[60]);

        // What lies shortly before may still come: readers overtake each other.
        Assert.Equal(Known[44..60], order.Ahead(16));
        Assert.Equal(Known[61], order.Ahead(17).Last());
    }

    [Fact]
    public void Ahead_ReaderGoesElsewhere_EndsAndBeginsAgainWhenItComesBack()
    {
        var order = new StartupOrder(Known);
        for (var piece = 1000; piece < 1015; piece++)
        {
            order.Touch(piece);
        }

        Assert.NotEmpty(order.Ahead(4));
        order.Touch(1015);
        Assert.Empty(order.Ahead(4));

        order.Touch(Known[0]);
        Assert.NotEmpty(order.Ahead(4));
    }
}
