using System.Diagnostics;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>Three of ten nodes are killed and started again all the time while all of them read the same blobs.</summary>
[Trait(FaultTraits.Length, FaultTraits.Long)]
public sealed class RestartingHerdTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Size = 16 * MiB;
    private const long OriginRate = 6 * MiB;

    /// <summary>Times the registry may send what one copy is.</summary>
    private const double MostSent = 2;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(300);
    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    private int _restarts;

    [Fact]
    public async Task Read_ThirtyPercentRestartAllTheTime_OthersFinishAtOnceAndThoseInTheEnd()
    {
        await using var mesh = await FaultMesh.StartAsync(Lab, 10, originRate: OriginRate);
        await mesh.RememberUseAsync();
        var (steady, restless) = (mesh.Nodes[3..], mesh.Nodes[..3]);

        // Nobody coordinates for long what one of the restless owns.
        List<GeneratedBlob> blobs = [mesh.AddBlobOwnedBy(Size, steady[0], mesh.Nodes), mesh.AddBlobOwnedBy(Size, steady[1], mesh.Nodes), mesh.AddBlobOwnedBy(Size, restless[0], mesh.Nodes)];
        using var end = new CancellationTokenSource();

        var (start, before) = (Stopwatch.GetTimestamp(), mesh.Origin.Bytes);
        var restarting = restless.Select(node => RestartAsync(node, end.Token)).ToArray();
        var lost = restless.SelectMany(node => blobs.Select(blob => mesh.ReadUntilDoneAsync(node, blob))).ToArray();
        try
        {
            await mesh.ReadAsync(steady, [.. blobs]);
            while (Volatile.Read(ref _restarts) <= restless.Length)
            {
                // On a slow machine nobody has restarted twice by then. One who does not come back ends the test.
                await Task.WhenAll(restarting.Where(task => task.IsCompleted));
                blobs.Add(mesh.AddBlob(Size));
                await mesh.ReadAsync(steady, blobs[^1]);
            }
        }
        finally
        {
            // Whatever has happened, nothing is started after the test.
            await end.CancelAsync();
            await Task.WhenAll(restarting);
        }

        var (herd, sent) = (Stopwatch.GetElapsedTime(start), (double)(mesh.Origin.Bytes - before) / (Size * (long)blobs.Count));
        var sentOf = blobs.ConvertAll(mesh.Origin.BytesOf);
        start = Stopwatch.GetTimestamp();
        await Task.WhenAll(lost);

        FaultMesh.Print($"{steady.Length} nodes had {blobs.Count} blobs in {herd.TotalSeconds:0.00} s, with {_restarts} restarts of others; {sent:0.000} times from the registry");
        FaultMesh.Print($"restarted: {string.Join(", ", restless.Select(node => node.Name))}");
        foreach (var (blob, bytes) in blobs.Zip(sentOf))
        {
            FaultMesh.Print($"{blob.Digest.Hex[..8]} was sent {(double)bytes / Size:0.000} times; responsible are {string.Join(" and ", PeerdNode.FindResponsible(mesh.Nodes, blob.Digest).Select(node => node.Name))}");
        }

        FaultMesh.Print($"recovery: those that restarted had them {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s after the last restart");
        // Some is lost with those who die while they read, and some is read again by an owner that has just started and has not heard of the others.
        Assert.InRange(sent, 1, MostSent);
        await mesh.UntilWholeAsync(RecoveryLimit);
        await mesh.DemandNothingLeftAsync();
    }

    private async Task RestartAsync(PeerdNode node, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            await node.Process.KillAsync();
            await node.StartAgainAsync();
            Interlocked.Increment(ref _restarts);
            await Task.Delay(Pause, CancellationToken.None);
        }
    }
}
