using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>
/// A node dies or stops running while others read a blob over links so slow that this is in the middle of it: the one that
/// has all of the blob, the one that coordinates it, or its replica.
/// </summary>
public sealed class ProcessFaultTests : LabTest
{
    private const int Size = 12 << 20;
    private const long Rate = 100_000_000;

    /// <summary>Of a node that runs again.</summary>
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    /// <summary>What the node is to the blob.</summary>
    public enum Role
    {
        Holder,
        Owner,
        Replica,
    }

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public Task Read_HolderFrozenInTheMiddle_AllReadsFinish() => FailAsync(Role.Holder, isKilled: false);

    [Theory]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    [InlineData(Role.Owner, false)]
    [InlineData(Role.Replica, false)]
    [InlineData(Role.Holder, true)]
    [InlineData(Role.Owner, true)]
    [InlineData(Role.Replica, true)]
    public Task Read_NodeKilledOrFrozenInTheMiddle_AllReadsFinish(Role role, bool isKilled) => FailAsync(role, isKilled);

    private async Task FailAsync(Role role, bool isKilled)
    {
        await using var mesh = await FaultMesh.StartOnHostsAsync(Lab, 4, Rate);
        var blob = mesh.AddBlob(Size);
        var responsible = PeerdNode.FindResponsible(mesh.Nodes, blob.Digest);
        var holder = mesh.Nodes.First(node => !responsible.Contains(node));
        var victim = role switch { Role.Owner => responsible[0], Role.Replica => responsible[1], _ => holder };
        await mesh.RememberUseAsync();
        var before = mesh.Origin.Bytes;
        await mesh.ReadAsync([holder], blob);

        var reading = await mesh.ReadInTheMiddleAsync([.. mesh.Nodes.Where(node => node != holder && node != victim)], blob, Size / 4);
        var start = Stopwatch.GetTimestamp();
        if (isKilled)
        {
            await victim.Process.KillAsync();
        }
        else
        {
            victim.Process.Freeze();
        }

        await reading;
        FaultMesh.Print($"{role} {(isKilled ? "killed" : "frozen")}: the others had all of it {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s later, {(double)(mesh.Origin.Bytes - before) / Size:0.00} times the blob from the registry");

        // One that the failed node coordinates, while it is gone.
        var another = mesh.AddBlobOwnedBy(Size / 4, victim, mesh.Nodes);
        start = Stopwatch.GetTimestamp();
        await mesh.ReadAsync(mesh.Nodes.Where(node => node != victim), another);
        FaultMesh.Print($"a new blob of its own was read in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s without it");

        if (isKilled)
        {
            await victim.StartAgainAsync();
        }
        else
        {
            victim.Process.Thaw();
        }

        var recovery = await mesh.ReadUntilDoneAsync(victim, another);
        FaultMesh.Print($"recovery: it reads again after {recovery.TotalSeconds:0.00} s, and the mesh is whole after {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s more");
        await mesh.DemandNothingLeftAsync();
    }
}
