using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>Two halves of a mesh lose each other while both reach the registry.</summary>
[Trait(FaultTraits.Length, FaultTraits.Long)]
public sealed class PartitionTests : LabTest
{
    private const int Size = 6 << 20;
    private const long Rate = 100_000_000;

    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Read_MeshInTwoHalves_AllReadsFinishAndTheMeshIsWholeAfterwards(bool isOneWay)
    {
        await using var mesh = await FaultMesh.StartOnHostsAsync(Lab, 4, Rate);
        var blobs = Array.ConvertAll(mesh.Nodes, node => mesh.AddBlobOwnedBy(Size, node, mesh.Nodes));
        await mesh.RememberUseAsync();
        var before = mesh.Origin.Bytes;

        var reading = await mesh.ReadInTheMiddleAsync(mesh.Nodes, blobs[0], Size / 4);
        await ForEachPairAsync(mesh, isOneWay, (one, other) => one.LoseTrafficToAsync(other));
        var start = Stopwatch.GetTimestamp();
        await reading;
        FaultMesh.Print($"all had the first blob {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s after the partition");
        foreach (var blob in blobs[1..])
        {
            start = Stopwatch.GetTimestamp();
            await mesh.ReadAsync(mesh.Nodes, blob);
            FaultMesh.Print($"all had another one in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s");
        }

        FaultMesh.Print($"the registry has sent {(double)(mesh.Origin.Bytes - before) / (Size * blobs.Length):0.00} times the blobs");
        await ForEachPairAsync(mesh, isOneWay, (one, other) => one.FindAgainAsync(other));
        FaultMesh.Print($"recovery: the mesh is whole {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s after the partition");
        await mesh.DemandNothingLeftAsync();
    }

    private static async Task ForEachPairAsync(FaultMesh mesh, bool isOneWay, Func<LabHost, LabHost, Task> change)
    {
        foreach (var one in mesh.Hosts[..2])
        {
            foreach (var other in mesh.Hosts[2..])
            {
                await change(one, other);
                await (isOneWay ? Task.CompletedTask : change(other, one));
            }
        }
    }
}
