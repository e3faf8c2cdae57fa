using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Directory;

namespace Peerd.Tests.Directories;

public sealed class DiscardPausesTests
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(10);

    private readonly FakeTimeProvider _time = new();
    private readonly DiscardPauses _pauses;

    public DiscardPausesTests() => _pauses = new DiscardPauses(_time, First);

    [Fact]
    public void TryBegin_AgainAndAgain_EachPauseIsTwiceAsLong()
    {
        Assert.True(_pauses.TryBegin(Content(0)));
        for (var pause = First; pause < DiscardPauses.Longest; pause *= 2)
        {
            _time.Advance(pause - TimeSpan.FromTicks(1));
            Assert.False(_pauses.TryBegin(Content(0)));
            _time.Advance(TimeSpan.FromTicks(1));
            Assert.True(_pauses.TryBegin(Content(0)));
        }

        // It was left alone for long.
        _time.Advance(DiscardPauses.Longest);
        Assert.True(_pauses.TryBegin(Content(0)));
        _time.Advance(First);
        Assert.True(_pauses.TryBegin(Content(0)));
    }

    [Fact]
    public void TryBegin_ManyOthers_FreeNoneBeforeItsTime()
    {
        Assert.True(_pauses.TryBegin(Content(0)));
        for (var other = 1; other < 3 * DiscardPauses.Most; other++)
        {
            Assert.Equal(other < DiscardPauses.Most, _pauses.TryBegin(Content(other)));
        }

        Assert.False(_pauses.TryBegin(Content(0)));

        _time.Advance(DiscardPauses.Longest);
        Assert.True(_pauses.TryBegin(Content(-1)));
        Assert.True(_pauses.TryBegin(Content(0)));
    }

    [Fact]
    public void Open_SomeStayOpen_AreThoseWhosePauseIsOver()
    {
        Assert.True(_pauses.TryBegin(Content(0), staysOpen: true));
        Assert.True(_pauses.TryBegin(Content(1)));
        _time.Advance(First + DiscardPauses.Delivery - TimeSpan.FromTicks(1));
        Assert.Empty(_pauses.Open);

        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Equal([Content(0)], _pauses.Open);
        Assert.True(_pauses.TryBegin(Content(0)));

        _time.Advance((2 * First) + DiscardPauses.Delivery);
        Assert.Empty(_pauses.Open);
    }

    // What others hold of it since then is not what was wrong.
    [Fact]
    public void Open_LeftAloneForLong_IsNotAnyMore()
    {
        Assert.True(_pauses.TryBegin(Content(0), staysOpen: true));
        _time.Advance(First + DiscardPauses.Longest - TimeSpan.FromTicks(1));
        Assert.Equal([Content(0)], _pauses.Open);

        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Empty(_pauses.Open);
    }

    private static Digest Content(int number) => Digest.OfSha256(BitConverter.GetBytes(number));
}
