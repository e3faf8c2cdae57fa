using CsCheck;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class MiniMeshTests
{
    private const int KiB64 = 64 * 1024;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(2);

    private static readonly Gen<MeshPlan> GenPlan = Gen.Select(
        Gen.Int[0, 1 << 20], OneOf(1, 2, 5, 16), Gen.Int[1, 100], OneOf(0, 1, 20), OneOf(0, 5, 300),
        (seed, nodes, pieces, delay, spread) => new MeshPlan(seed, nodes, (pieces * KiB64) - 100, delay, spread, Kills: 0));

    private static Gen<int> OneOf(params int[] values) => Gen.Int[0, values.Length - 1].Select(index => values[index]);

    [Fact]
    public void Run_NobodyDies_EachPieceIsReadFromTheOriginOnceAndFetchedOnceByEach() => GenPlan.Sample(
        plan =>
        {
            var mesh = Completed(plan);
            AssertReadOnce(mesh);
            Assert.All(mesh.All, node => Assert.Equal(
                Enumerable.Range(0, mesh.Layout.PieceCount), node.AskedOfPeers.Concat(node.ReadFromOrigin).Order()));
            AssertNobodyFails(mesh);
        },
        iter: 60);

    /// <summary>Some are read bit by bit, so that readers help themselves to what they wait for.</summary>
    [Fact]
    public void Run_NodesDie_TheOthersCompleteAndReadOnlyTheirPiecesAgain() => Gen.Select(GenPlan, Gen.Int[1, 4], Gen.Bool).Sample(
        (plan, kills, isInParts) =>
        {
            var mesh = Completed(plan with { Kills = kills, InParts = isInParts ? plan.Nodes : 0 });

            // What the dead had read may have died with them; nothing else is read twice.
            var read = mesh.Living.SelectMany(node => node.ReadFromOrigin).ToList();
            Assert.Equal(read.Distinct().Count(), read.Count);
            Assert.InRange(read.Count, 0, mesh.Layout.PieceCount);
            Assert.Empty(Enumerable.Range(0, mesh.Layout.PieceCount).Except(mesh.All.SelectMany(node => node.ReadFromOrigin)));
            Assert.All(mesh.Living, node => Assert.InRange(node.Hedges.Moved, 0, new DownloaderPolicy().LeastHedges + (0.05 * node.AskedOfPeers.Count) + 1));
            AssertFailuresAreThoseOfTheDead(mesh, plan.DelayMs);
        },
        iter: 60);

    [Theory]
    [InlineData(1, 0)]
    [InlineData(5, 0)]
    [InlineData(5, 400)]
    public void Run_LargeSegments_EachPieceIsReadFromTheOriginOnce(int nodes, int spread) =>
        AssertReadOnce(Completed(new MeshPlan(3, nodes, 600L << 20, DelayMs: 1, spread, Kills: 0)));

    /// <summary>One piece in a second and a half: each is progress, though none comes in a hurry.</summary>
    [Fact]
    public void Run_SlowOrigin_NoLeaseExpires() =>
        AssertReadOnce(Completed(new MeshPlan(3, Nodes: 3, 40 * KiB64, DelayMs: 1, StartSpreadMs: 0, Kills: 0, PieceMs: 1500)));

    /// <summary>While the origin asks for a pause nobody reads there, and after it all goes on as before it.</summary>
    [Theory]
    [InlineData(1, 0)]
    [InlineData(1, 50)]
    [InlineData(4, 50)]
    [InlineData(16, 50)]
    [InlineData(16, 100)]
    public void Run_OriginAsksForAPause_NothingIsReadTwice(int nodes, int pauseAt)
    {
        var plan = new MeshPlan(3, nodes, (16L << 20) - 100, DelayMs: 1, StartSpreadMs: 0, Kills: 0, PauseAtMs: pauseAt, PauseMs: 9000);
        var mesh = Completed(pauseAt == 0 ? plan with { PauseAtMs = 20 } : plan);

        Assert.True(mesh.Now > TimeSpan.FromMilliseconds(plan.PauseMs));
        AssertReadOnce(mesh);
    }

    /// <summary>The new owner is told by those whom the origin has told.</summary>
    [Theory]
    [InlineData(4, 2000, 0)]
    [InlineData(16, 60, 0)]
    [InlineData(16, 2000, 0)]
    [InlineData(16, 2000, 40)]
    public void Run_OriginAsksForAPauseAndAnotherOwnerTakesOver_FewReadMeanwhile(int nodes, int takeOver, int spread)
    {
        var plan = new MeshPlan(3, nodes, (16L << 20) - 100, DelayMs: 1, spread, Kills: 0, PauseAtMs: 50, PauseMs: 9000, TakeOverMs: takeOver);
        var mesh = Completed(plan);

        Assert.True(mesh.Now > TimeSpan.FromMilliseconds(plan.PauseMs));
        Assert.InRange(mesh.ReadsDuringPause, 1, 2 * Math.Min(nodes, new CoordinatorPolicy().Readers));
    }

    /// <summary>What owner and requesters say to each other grows with the segments of each, never with how many they are.</summary>
    [Theory]
    [InlineData(4)]
    [InlineData(16)]
    [InlineData(48)]
    public void Run_ManyNodes_MessagesOfEachAreBoundedByTheSegments(int nodes)
    {
        var mesh = Completed(new MeshPlan(7, nodes, (16L << 20) - 100, DelayMs: 1, StartSpreadMs: 0, Kills: 0));

        AssertReadOnce(mesh);
        AssertNobodyFails(mesh);
        Assert.Equal(256, mesh.Layout.SegmentCount);
        Assert.All(mesh.All, node => Assert.InRange(node.Reports, 1, 1.25 * mesh.Layout.SegmentCount));
        Assert.All(mesh.All, node => Assert.InRange(node.Pushes, 1, 1.25 * mesh.Layout.SegmentCount));
    }

    /// <summary>Who cannot reach the origin is granted nothing, and gets all from those who can.</summary>
    [Fact]
    public void Run_SomeCannotReachTheOrigin_AreServedByThoseWhoCan() => Gen.Select(GenPlan.Where(plan => plan.Nodes > 1), Gen.Double[0, 1]).Sample(
        (plan, part) =>
        {
            var mesh = Completed(plan with { Unable = 1 + (int)(part * (plan.Nodes - 2)) });

            AssertReadOnce(mesh);
            AssertNobodyFails(mesh);
            var unable = mesh.All.Where(node => !node.CanReachOrigin).ToList();
            Assert.NotEmpty(unable);
            Assert.All(unable, node => Assert.Equal(Enumerable.Range(0, mesh.Layout.PieceCount), node.AskedOfPeers.Order()));
        },
        iter: 40);

    /// <summary>What readers of parts want changes all the time: its owner is told no more often than they move.</summary>
    [Theory]
    [InlineData(1, 1)]
    [InlineData(4, 4)]
    [InlineData(16, 16)]
    [InlineData(16, 4)]
    public void Run_ReadersOfParts_MessagesAreBoundedByThePieces(int nodes, int inParts)
    {
        var mesh = Completed(new MeshPlan(7, nodes, (16L << 20) - 100, DelayMs: 1, StartSpreadMs: 0, Kills: 0, InParts: inParts));

        AssertReadOnce(mesh);
        AssertNobodyFails(mesh);
        Assert.Equal(256, mesh.Layout.PieceCount);
        Assert.All(mesh.All, node => Assert.InRange(node.AskedAgain, 0, 2 * mesh.Layout.PieceCount));
        Assert.All(mesh.All.Take(inParts), node => Assert.NotEqual(0, node.AskedAgain));
        Assert.All(mesh.All, node => Assert.InRange(node.Pushes, 1, (1.25 * mesh.Layout.SegmentCount) + node.AskedAgain));
    }

    /// <summary>Another owner takes over in the middle; who asks comes to it one after the other.</summary>
    [Fact]
    public void Run_AnotherOwnerTakesOver_AllCompleteAndNothingIsReadTwice()
    {
        var moved = 0;
        Gen.Select(Gen.Int[0, 1 << 20], OneOf(2, 5, 16), OneOf(0, 1, 20), OneOf(0, 300), Gen.Int[20, 600]).Sample(
            (seed, nodes, delay, spread, takeOver) =>
            {
                var mesh = Completed(new MeshPlan(seed, nodes, 16L << 20, delay, spread, Kills: 0, PieceMs: 20, TakeOverMs: takeOver));

                Interlocked.Add(ref moved, mesh.All.Count(node => node.MovedInTheMiddle));
                AssertReadOnce(mesh);
            },
            iter: 60);

        Assert.NotEqual(0, moved);
    }

    /// <summary>The same before anybody knows the size: who finds it out reads the beginning while at it.</summary>
    [Fact]
    public void Run_AnotherOwnerTakesOverWhileTheSizeIsFoundOut_NothingIsReadTwice() => Gen.Select(Gen.Int[0, 1 << 20], OneOf(2, 5, 16), Gen.Int[0, 60]).Sample(
        (seed, nodes, takeOver) => AssertReadOnce(Completed(new MeshPlan(seed, nodes, 1L << 20, DelayMs: 20, StartSpreadMs: 30, Kills: 0, PieceMs: 20, TakeOverMs: takeOver))),
        iter: 100);

    private static MiniMesh Completed(MeshPlan plan)
    {
        var mesh = new MiniMesh(plan);
        mesh.Run(Limit);
        Assert.All(mesh.Living, node => Assert.True(node.IsComplete, $"{node.Name} is not complete after {mesh.Now}"));
        return mesh;
    }

    /// <summary>Nobody is asked for what it could not send, and nothing comes twice but what a reader asked for that waited.</summary>
    private static void AssertNobodyFails(MiniMesh mesh)
    {
        Assert.All(mesh.All, node => Assert.Equal((0, 0), (node.TurnedAway, node.Hedges.Moved)));
        Assert.All(mesh.All, node => Assert.Empty(node.Unfulfilled));
        AssertAskedAgainForAReason(mesh);
    }

    /// <summary>
    /// A node has so many places, as reader and as holder. A dead holder fails in each of its own as often as its askers can find that out
    /// until the owner forgets it. Where a dead reader was served, the owner takes the place for free before the holder does: who is
    /// sent there is turned away, once and once more. At each death no more is taken back from an asker than it may fetch at a time.
    /// </summary>
    private static void AssertFailuresAreThoseOfTheDead(MiniMesh mesh, int delayMs)
    {
        var dead = mesh.All.Count() - mesh.Living.Count();
        var places = dead * new CoordinatorPolicy().CreditsOfShortSegments;
        var times = 1 + ((MiniMesh.GraceMs + (2 * delayMs)) / MiniMesh.DeathNoticedMs);
        Assert.InRange(mesh.Living.Sum(node => node.Unfulfilled.GetValueOrDefault(RangeOutcomeKind.Failed)), 0, places * times);
        Assert.InRange(mesh.Living.Sum(static node => node.TurnedAway), 0, 2 * places);
        Assert.All(mesh.Living, node => Assert.InRange(node.Unfulfilled.GetValueOrDefault(RangeOutcomeKind.Cancelled), 0, places + node.Hedges.Moved));
        AssertAskedAgainForAReason(mesh);
    }

    /// <summary>
    /// What was asked for and did not come, and what a reader waited for and asked for itself: a few times, and it may come from both.
    /// Owner and asker have something to say to each other for each piece and each failure, and when one comes, knows the size and goes.
    /// </summary>
    private static void AssertAskedAgainForAReason(MiniMesh mesh)
    {
        Assert.All(mesh.Living, node => Assert.InRange(node.AskedOfPeers.Count, 0, mesh.Layout.PieceCount + node.NotBrought));
        Assert.All(mesh.Living, static node => Assert.InRange(node.Requests, 0, node.AskedOfPeers.Count));
        Assert.All(mesh.Living, static node => Assert.All(node.AskedUrgently.CountBy(static piece => piece), static asked => Assert.InRange(asked.Value, 1, MiniMesh.UrgentTries)));
        Assert.All(mesh.Living, static node => Assert.InRange(node.CameAgain, 0, node.AskedUrgently.Count));
        Assert.All(mesh.Living, node => Assert.InRange(Math.Max(node.Reports, node.Pushes), 1, mesh.Layout.PieceCount + node.AskedAgain + node.Unfulfilled.Values.Sum() + 6));
    }

    private static void AssertReadOnce(MiniMesh mesh) =>
        Assert.Equal(Enumerable.Range(0, mesh.Layout.PieceCount), mesh.All.SelectMany(node => node.ReadFromOrigin).Order());
}
