using CsCheck;

namespace Peerd.Tests.Swarm;

/// <summary>Any world: a source for each piece is enough, and without one the downloader gives up in time.</summary>
public sealed class DownloaderWorldTests
{
    private const int KiB64 = 64 * 1024;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private static readonly Gen<WorldPlan> GenPlan = Gen.Select(
        Gen.Int[0, 1 << 20], Gen.Int[1, 60], Gen.Int[0, 5], Gen.Bool, Gen.Enum<OwnerPlan>(), Gen.Int[0, 2], Gen.Int[0, 4],
        (seed, pieces, holders, originWorks, owner, failures, grants) =>
            new WorldPlan(seed, (pieces * KiB64) - 100, holders, originWorks, CoverAll: true, owner, CorruptPeers: false, failures, grants, Stalls: seed % 3));

    [Fact]
    public void Run_SomeSourceHasEachPiece_Completes() => GenPlan.Where(plan => plan.OriginWorks || plan.Holders > 0).Sample(
        plan => Complete(new DownloaderWorld(plan)),
        iter: 600);

    [Fact]
    public void Run_SegmentsOfSeveralPieces_Completes() => GenPlan.Where(plan => plan.OriginWorks || plan.Holders > 0).Sample(
        plan => Complete(new DownloaderWorld(plan with { Size = (512L << 20) + (plan.Size * 100) })),
        iter: 10);

    [Fact]
    public void Run_PeersFailAndSendWrongBytesButTheOriginWorks_Completes() => GenPlan.Sample(
        plan => Complete(new DownloaderWorld(plan with { OriginWorks = true, CorruptPeers = true, FailuresPerHolder = 20 })),
        iter: 200);

    [Fact]
    public void Run_NothingIsCertain_EndsInTime() => GenPlan.Sample(
        plan =>
        {
            var world = new DownloaderWorld(plan with { CoverAll = false, OriginWorks = false, CorruptPeers = true, FailuresPerHolder = 5 });
            world.Run(Limit);
            Assert.True(world.IsComplete || world.HasFailed, $"undecided after {world.Now}");
        },
        iter: 200);

    /// <summary>As long as an owner assigns and nothing fails, each piece is asked for once.</summary>
    [Fact]
    public void Run_NothingFails_EachPieceIsAskedForOnce() => GenPlan.Where(plan => plan.Holders > 0).Sample(
        plan =>
        {
            var world = new DownloaderWorld(plan with { Owner = OwnerPlan.Stays, FailuresPerHolder = 0, Stalls = 0, Grants = 0, SpreadMs = 0, OriginWorks = true });
            Complete(world);
            Assert.Equal(world.MissingAtFirst, world.AskedOfPeers.Order());
        },
        iter: 200);

    /// <summary>Readers jump about, in what may be lost again, and help themselves to what they wait for: never to what is being sent to them.</summary>
    [Fact]
    public void Run_ReadersAskForWhatTheyWaitFor_NothingIsAskedForThatIsComingAndAllCompletes()
    {
        var (asked, besides) = (0, 0);
        Gen.Select(GenPlan.Where(plan => plan.OriginWorks || plan.Holders > 0), Gen.Int[1, 6], Gen.Int[0, 10], Gen.Bool).Sample(
            (plan, readers, losses, isLarge) =>
            {
                var world = new DownloaderWorld(plan with { Readers = readers, Losses = losses, Size = isLarge ? (512L << 20) + plan.Size : plan.Size });
                Complete(world);
                Interlocked.Add(ref asked, world.AskedUrgently);
                Interlocked.Add(ref besides, world.AskedBesides);
            },
            iter: 200);

        // Both have happened: there was something to see.
        Assert.NotEqual(0, asked);
        Assert.NotEqual(0, besides);
    }

    private static void Complete(DownloaderWorld world)
    {
        world.Run(Limit);
        Assert.True(world.IsComplete, $"not complete after {world.Now}, given up: {world.HasFailed}");
    }
}
