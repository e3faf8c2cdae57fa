using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OriginPausesTests
{
    private static readonly DownloaderPolicy Policy = new();
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly OriginPauses _pauses = new(Policy);

    [Fact]
    public void Told_AnOwnersWord_CountsAndIsNotWhatTheOriginSaid()
    {
        Assert.True(_pauses.Told(2 * Second, Second));

        Assert.Equal((3 * Second, TimeSpan.MinValue), (_pauses.Until, _pauses.SeenUntil));
    }

    [Fact]
    public void Told_LongerThanAnyOwnerMaySay_IsCutShort()
    {
        _pauses.Told(2 * Policy.LongestOriginPause, Second);

        Assert.Equal(Second + Policy.LongestOriginPause, _pauses.Until);
    }

    [Fact]
    public void Seen_TheOriginsWord_CountsWholeWhateverAnOwnerSaid()
    {
        _pauses.Told(Second, Second);
        _pauses.Seen(2 * Policy.LongestOriginPause, Second);

        var until = Second + (2 * Policy.LongestOriginPause);
        Assert.Equal((until, until), (_pauses.Until, _pauses.SeenUntil));
    }

    [Theory]
    [InlineData(1, false)]
    [InlineData(2, true)]
    public void WasRead_BeforeThePauseWasOver_NoOwnersWordCountsAnyMore(int readAt, bool counts)
    {
        _pauses.Told(Second, Second);

        _pauses.WasRead(readAt * Second);

        Assert.Equal(!counts, _pauses.Until < Second);
        Assert.Equal(counts, _pauses.Told(Second, 3 * Second));
        Assert.Equal(counts, _pauses.Until > 3 * Second);
    }
}
