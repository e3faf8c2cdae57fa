using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

/// <summary>Of whom an owner tells an asker, so that it has somebody to ask should its owners die.</summary>
public sealed class HolderSamplerTests
{
    private const int Holders = 20;
    private const int Intervals = 600;

    private static readonly CoordinatorPolicy Policy = new();

    /// <summary>What only another zone holds is known of as well.</summary>
    [Fact]
    public void TakePushes_TwoZones_MostAreOfTheAskersOwnAndEverybodyIsToldOfSometime()
    {
        var herd = new Herd(4 << 20, Policy, zoneOf: static node => node[..1]);
        HoldAll(herd, "a", "b");

        var (told, seen) = (0, new HashSet<string>(StringComparer.Ordinal));
        foreach (var sample in Samples(herd, "asker"))
        {
            Assert.Equal(Policy.HolderSample, sample.Count);
            Assert.InRange(sample.Count(static node => node[0] == 'b'), 1, Policy.HolderSample - 1);
            told += sample.Count(static node => node[0] == 'b');
            seen.UnionWith(sample);
        }

        Assert.InRange((double)told / Intervals, Policy.HoldersElsewhere - 0.1, Policy.HoldersElsewhere + 0.1);
        Assert.Equal(2 * Holders, seen.Count);
    }

    [Fact]
    public void TakePushes_TenZones_TheFirstSampleHasSomeOfTheAskersOwn()
    {
        var herd = new Herd(4 << 20, Policy, zoneOf: static node => node[..1]);
        HoldAll(herd, "a", "b", "c", "d", "e", "f", "g", "h", "i", "j");

        Assert.InRange(Samples(herd, "asker").First().Count(static node => node[0] == 'a'), 2, Policy.HolderSample - Policy.HoldersElsewhere);
    }

    // A member that holds every second piece of a huge content would fill the memory, and each push, with runs of one piece.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void TakePushes_HolderOfManyRuns_IsToldBitByBit(bool hasLost)
    {
        var layout = new ContentLayout(50L << 30);
        var coordinator = new Coordinator(Policy, seed: 1);
        coordinator.SizeKnown(layout.Size, string.Empty, TimeSpan.Zero);
        coordinator.Asked("asker", new Want(), TimeSpan.Zero);
        var told = new PieceSet(layout.PieceCount);
        var now = TimeSpan.Zero;
        if (hasLost)
        {
            coordinator.HolderChanged("holder", complete: true, Every(1), now);
            Take();
        }

        coordinator.HolderChanged("holder", complete: false, Every(2), now);
        var pushes = 0;
        for (; told.CountOf(Every(2), within: null) > 0 || told.Count < layout.PieceCount / 2; pushes++)
        {
            now += Policy.SampleInterval;
            Take();
            Assert.InRange(pushes, 0, 10);
        }

        Assert.Equal((layout.PieceCount / 2 / Policy.RunsOfHolder) + 1, pushes);
        Assert.InRange(Assert.Single(coordinator.Tell().Holders).Pieces.Count, 1, Policy.RunsOfHolder);

        PieceSet Every(int step)
        {
            var pieces = new PieceSet(layout.PieceCount);
            for (var piece = 0; piece < layout.PieceCount; piece += step)
            {
                pieces.Add(piece);
            }

            return pieces;
        }

        void Take()
        {
            foreach (var holder in coordinator.TakePushes(now).SelectMany(static push => push.Push.Holders))
            {
                Assert.InRange(holder.Pieces.Count, holder.Complete ? 0 : 1, Policy.RunsOfHolder);
                if (holder.Replace)
                {
                    told.Clear();
                }

                told.AddRuns(holder.Complete ? [new PieceRun { Count = (uint)layout.PieceCount }] : holder.Pieces);
            }
        }
    }

    // Those who hold first are told of first, wherever they are.
    [Fact]
    public void TakePushes_OnesOwnZoneHoldsLater_TakesThePlacesOfOthersOneByOne()
    {
        var herd = new Herd(4 << 20, Policy, zoneOf: static node => node[..1]);
        HoldAll(herd, "b");
        Assert.Equal(Policy.HolderSample, Samples(herd, "asker").First().Count);

        HoldAll(herd, "a");
        var later = Samples(herd, "asker").ElementAt(Policy.HolderSample);

        Assert.Equal(Policy.HoldersElsewhere, later.Count(static node => node[0] == 'b'));
    }

    [Fact]
    public void TakePushes_OneNearby_OthersTakeItsZonesPlaces()
    {
        var herd = new Herd(4 << 20, Policy, zoneOf: static node => node[..1]);
        HoldAll(herd, "b");
        herd.Hold("a0", herd.AllSegments);

        Assert.All(Samples(herd, "asker"), static sample => Assert.Equal(Policy.HolderSample, sample.Count));
        Assert.Contains("a0", herd.Told["asker"].Holders.Keys);
    }

    [Fact]
    public void TakePushes_HalfServeAllThatTheyMay_HardlyAnyButTheOthersAreToldOf()
    {
        var herd = new Herd(4 << 20, Policy);
        HoldAll(herd, "idle", "busy");
        for (var i = 0; i < Holders; i++)
        {
            var all = new Assignment { Node = $"busy{i}", Segments = { new SegmentRun { Count = (uint)Policy.CreditsOfShortSegments } } };
            herd.Ask($"other{i}", new Want { Continued = true, Fetching = { all } });
        }

        var busy = Samples(herd, "asker").Sum(static sample => sample.Count(static node => node.StartsWith("busy", StringComparison.Ordinal)));

        Assert.InRange((double)busy / (Intervals * Policy.HolderSample), 0, 0.05);
    }

    private static void HoldAll(Herd herd, params IEnumerable<string> kinds)
    {
        foreach (var kind in kinds)
        {
            for (var i = 0; i < Holders; i++)
            {
                herd.Hold($"{kind}{i}", herd.AllSegments);
            }
        }
    }

    private static IEnumerable<IReadOnlyCollection<string>> Samples(Herd herd, string asker)
    {
        herd.Ask(asker);
        for (var interval = 0; interval < Intervals; interval++)
        {
            herd.Told.Take(interval * Policy.SampleInterval);
            yield return herd.Told[asker].Holders.Keys.ToList();
        }
    }
}
