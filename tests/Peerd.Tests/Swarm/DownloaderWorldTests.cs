using CsCheck;

namespace Peerd.Tests.Swarm;

/// <summary>Any world: a source for each piece is enough, and without one the downloader gives up in time.</summary>
public sealed class DownloaderWorldTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(5);

    private static readonly Gen<WorldPlan> GenPlan = Gen.Select(
        Gen.Int[0, 1 << 20], Gen.Int[1, 60], Gen.Int[0, 5], Gen.Bool, Gen.Bool, Gen.Int[0, 2], Gen.Int[0, 4],
        (seed, pieces, holders, originWorks, ownerIsLost, failures, grants) =>
            new WorldPlan(seed, pieces, holders, originWorks, CoverAll: true, ownerIsLost, CorruptPeers: false, failures, grants));

    [Fact]
    public void Run_SomeSourceHasEachPiece_Completes() => GenPlan.Where(plan => plan.OriginWorks || plan.Holders > 0).Sample(
        plan =>
        {
            var world = new DownloaderWorld(plan);
            world.Run(Limit);
            Assert.True(world.IsComplete, $"not complete after {world.Now}, given up: {world.HasFailed}");
        },
        iter: 600);

    [Fact]
    public void Run_PeersFailAndSendWrongBytesButTheOriginWorks_Completes() => GenPlan.Sample(
        plan =>
        {
            var world = new DownloaderWorld(plan with { OriginWorks = true, CorruptPeers = true, FailuresPerHolder = 20 });
            world.Run(Limit);
            Assert.True(world.IsComplete, $"not complete after {world.Now}, given up: {world.HasFailed}");
        },
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
}
