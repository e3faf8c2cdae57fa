using CsCheck;

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
    public void Run_NobodyDies_EachPieceIsReadFromTheOriginOnce() => GenPlan.Sample(
        plan =>
        {
            var mesh = new MiniMesh(plan);
            mesh.Run(Limit);

            Assert.All(mesh.All, node => Assert.True(node.IsComplete, $"{node.Name} is not complete after {mesh.Now}"));
            Assert.Equal(Enumerable.Range(0, mesh.Layout.PieceCount), mesh.All.SelectMany(node => node.ReadFromOrigin).Order());
        },
        iter: 60);

    [Fact]
    public void Run_NodesDie_TheOthersCompleteAndReadOnlyTheirPiecesAgain() => Gen.Select(GenPlan, Gen.Int[1, 4]).Sample(
        (plan, kills) =>
        {
            var mesh = new MiniMesh(plan with { Kills = kills });
            mesh.Run(Limit);

            // What the dead had read may have died with them; nothing else is read twice.
            Assert.All(mesh.Living, node => Assert.True(node.IsComplete, $"{node.Name} is not complete after {mesh.Now}"));
            var read = mesh.Living.SelectMany(node => node.ReadFromOrigin).ToList();
            Assert.Equal(read.Distinct().Count(), read.Count);
            Assert.InRange(read.Count, 0, mesh.Layout.PieceCount);
            Assert.Empty(Enumerable.Range(0, mesh.Layout.PieceCount).Except(mesh.All.SelectMany(node => node.ReadFromOrigin)));
        },
        iter: 25);

    [Theory]
    [InlineData(1, 0)]
    [InlineData(5, 0)]
    [InlineData(5, 400)]
    public void Run_LargeSegments_EachPieceIsReadFromTheOriginOnce(int nodes, int spread)
    {
        var mesh = new MiniMesh(new MeshPlan(3, nodes, 600L << 20, DelayMs: 1, spread, Kills: 0));
        mesh.Run(Limit);

        Assert.All(mesh.All, node => Assert.True(node.IsComplete));
        Assert.Equal(Enumerable.Range(0, mesh.Layout.PieceCount), mesh.All.SelectMany(node => node.ReadFromOrigin).Order());
    }

    /// <summary>One piece in three seconds: each is progress, though none comes in a hurry.</summary>
    [Fact]
    public void Run_SlowOrigin_NoLeaseExpires()
    {
        var mesh = new MiniMesh(new MeshPlan(3, Nodes: 3, 40 * KiB64, DelayMs: 1, StartSpreadMs: 0, Kills: 0, PieceMs: 3000));
        mesh.Run(5 * Limit);

        Assert.All(mesh.All, node => Assert.True(node.IsComplete));
        Assert.Equal(Enumerable.Range(0, 40), mesh.All.SelectMany(node => node.ReadFromOrigin).Order());
    }
}
