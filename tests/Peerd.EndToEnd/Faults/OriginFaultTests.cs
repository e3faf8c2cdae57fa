using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>The registry fails while three nodes read from it.</summary>
public sealed class OriginFaultTests : LabTest
{
    private const int Size = 4 << 20;

    private static readonly TimeSpan Outage = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public Task Read_RegistryLies_NoWrongByteAndAllReadsFinishWhenItDoesNotAnyMore() => FailForAWhileAsync(OriginFault.Lie);

    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public Task Read_RegistryFailsForAWhile_NoWrongByteAndAllReadsFinishAfterwards() => FailForAWhileAsync(Enum.GetValues<OriginFault>()[1..]);

    // Two of its answers fail: nobody who reads notices.
    [Fact]
    [Trait(FaultTraits.Length, FaultTraits.Long)]
    public async Task Read_RegistryFailsTwice_AllReadsFinishAtOnce()
    {
        await using var mesh = await StartAsync();
        await mesh.RememberUseAsync();
        foreach (var fault in (OriginFault[])[OriginFault.Silent, OriginFault.StallBody, OriginFault.CutBody, OriginFault.ResetBody, OriginFault.ResetRequest, OriginFault.Unavailable])
        {
            var (blob, before, start) = (mesh.AddBlob(Size), mesh.Origin.Bytes, Stopwatch.GetTimestamp());
            await mesh.Origin.FailAsync(fault, requests: 2);
            await mesh.ReadAsync(mesh.Nodes, blob);
            FaultMesh.Print($"{fault} twice: all had it in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / Size:0.00} times from the registry");
        }

        await mesh.Origin.HealAsync();
        await mesh.UntilWholeAsync(RecoveryLimit);
        await mesh.DemandNothingLeftAsync();
    }

    private async Task FailForAWhileAsync(params OriginFault[] faults)
    {
        await using var mesh = await StartAsync();
        await mesh.RememberUseAsync();
        foreach (var fault in faults)
        {
            var (early, blob) = (mesh.AddBlob(Size), mesh.AddBlob(Size));
            await mesh.ReadAsync([mesh.Nodes[0]], early);
            await mesh.Origin.FailAsync(fault);

            // What the mesh has it gives; what it has not may fail, and may not be wrong.
            await mesh.ReadAsync(mesh.Nodes, early);
            using var outage = new CancellationTokenSource(Outage);
            var failed = await Task.WhenAll(mesh.Nodes.Select(node => FailsAsync(mesh, node, blob, fault, outage.Token)));
            await mesh.Origin.HealAsync();
            var recovery = await Task.WhenAll(mesh.Nodes.Select(node => mesh.ReadUntilDoneAsync(node, blob, mayBeCutWhenWrong: fault == OriginFault.Lie)));
            await mesh.ReadAsync(mesh.Nodes, early, blob);

            Assert.All(failed, Assert.True);
            FaultMesh.Print($"{fault}: recovery {recovery.Max().TotalSeconds:0.00} s after the registry is well");
            Assert.InRange(recovery.Max(), TimeSpan.Zero, RecoveryLimit);
        }

        await mesh.UntilWholeAsync(RecoveryLimit);
        await mesh.DemandNothingLeftAsync();
    }

    // Reads again and again while the registry is down.
    private static async Task<bool> FailsAsync(FaultMesh mesh, PeerdNode node, GeneratedBlob blob, OriginFault fault, CancellationToken cancellationToken)
    {
        try
        {
            await mesh.ReaderOf(node).ReadUntilDoneAsync(blob, mesh.Origin.PathOf(blob), cancellationToken, mayBeCutWhenWrong: fault == OriginFault.Lie);
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    private Task<FaultMesh> StartAsync() => FaultMesh.StartAsync(Lab, 3, (_, settings) =>
    {
        var origin = settings["Origin"]!.AsObject();
        origin["IdleTimeout"] = "1s";
        origin["HeaderTimeout"] = "1s";
    });
}
