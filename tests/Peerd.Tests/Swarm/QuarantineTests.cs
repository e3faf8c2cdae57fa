using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class QuarantineTests
{
    private readonly FakeTimeProvider _time = new();

    [Fact]
    public void Mismatched_Twice_IsIn()
    {
        var quarantine = new Quarantine(_time);

        Assert.False(quarantine.Mismatched(Of(1), isAgain: false));
        Assert.False(quarantine.Contains(Of(1)));
        Assert.True(quarantine.Mismatched(Of(1), isAgain: false));
        Assert.Equal((true, false), (quarantine.Contains(Of(1)), quarantine.Contains(Of(2))));

        Assert.True(quarantine.Mismatched(Of(3), isAgain: true));
        Assert.True(quarantine.Contains(Of(3)));
    }

    [Fact]
    public void Contains_TimeIsOver_BeginsAnew()
    {
        var quarantine = new Quarantine(_time);
        quarantine.Mismatched(Of(1), isAgain: true);
        _time.Advance(Quarantine.Memory - TimeSpan.FromTicks(1));
        Assert.True(quarantine.Contains(Of(1)));

        _time.Advance(TimeSpan.FromTicks(1));

        Assert.False(quarantine.Contains(Of(1)));
        Assert.False(quarantine.Mismatched(Of(1), isAgain: false));
    }

    [Fact]
    public void Matched_IsOut()
    {
        var quarantine = new Quarantine(_time);
        quarantine.Mismatched(Of(1), isAgain: true);

        quarantine.Matched(Of(1));

        Assert.Equal((false, 0), (quarantine.Contains(Of(1)), quarantine.Count));
        Assert.False(quarantine.Mismatched(Of(1), isAgain: false));
    }

    [Fact]
    public void Mismatched_ContentsWithoutEnd_OnlyTheLastAreRemembered()
    {
        var quarantine = new Quarantine(_time);
        for (var i = 0; i < 2 * RecentContents<int>.Most; i++)
        {
            _time.Advance(TimeSpan.FromMilliseconds(1));
            quarantine.Mismatched(Of(i), isAgain: true);
        }

        Assert.Equal(RecentContents<int>.Most, quarantine.Count);
        Assert.Equal((false, true), (quarantine.Contains(Of(RecentContents<int>.Most - 1)), quarantine.Contains(Of(RecentContents<int>.Most))));
    }

    private static Digest Of(int content) => Digest.OfSha256(BitConverter.GetBytes(content));
}
