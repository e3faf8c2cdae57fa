using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class KnownPeersTests
{
    private readonly KnownPeers _peers = new(new ContentLayout(64 * 1024), new DownloaderPolicy());

    [Fact]
    public void Choose_OneIsAskedForLess_ItIsChosen()
    {
        _peers.GetOrAdd("a").Asked();
        _peers.GetOrAdd("b");
        _peers.GetOrAdd("c").Asked();

        Assert.Equal(["b"], Choices());
    }

    [Fact]
    public void Choose_OneIsSlower_ItIsChosenLessOftenThanTheOther()
    {
        _peers.GetOrAdd("quick").Took(TimeSpan.FromMilliseconds(10));
        _peers.GetOrAdd("slow").Took(TimeSpan.FromMilliseconds(100));

        // Both draws must hit it: one time of four.
        Assert.InRange(Choices(400).Count(node => node == "slow"), 50, 150);
    }

    [Fact]
    public void Choose_OneIsNew_ItIsTriedBeforeThoseWhoseTimeIsKnown()
    {
        _peers.GetOrAdd("known").Took(TimeSpan.FromMilliseconds(10));
        _peers.GetOrAdd("new");

        Assert.InRange(Choices(400).Count(node => node == "new"), 250, 350);
    }

    [Theory]
    [InlineData(64 * 1024, 4096)]
    [InlineData(1L << 40, 64)]
    public void GetOrAdd_AMultitudeOfNames_SomeAreForgottenAndNeverOneThatIsAsked(long size, int most)
    {
        var peers = new KnownPeers(new ContentLayout(size), new DownloaderPolicy());
        peers.GetOrAdd("asked").Asked();
        for (var i = 0; i < most + 200; i++)
        {
            peers.GetOrAdd($"name-{i}");
        }

        Assert.InRange(peers.All.Count(), 1, most);
        Assert.NotNull(peers.Find("asked"));
    }

    private IEnumerable<string> Choices() => Choices(20).Distinct();

    private List<string> Choices(int times)
    {
        var random = new Random(1);
        return [.. Enumerable.Range(0, times).Select(_ => KnownPeers.Choose([.. _peers.All], random).Node)];
    }
}
