using System.Diagnostics;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>The clock of a node jumps while it reads and serves.</summary>
[Trait(FaultTraits.Length, FaultTraits.Long)]
public sealed class ClockTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Size = 8 * MiB;
    private const long OriginRate = 8 * MiB;

    private static readonly TimeSpan RecoveryLimit = TimeSpan.FromSeconds(60);

    // Certificates are valid for an hour: while the clock of the node is wrong it refuses those of others.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Read_ClockJumpsInTheMiddle_AllReadsFinish(bool isEncrypted)
    {
        using var faults = await PreloadedFaults.CreateAsync(Lab);
        using var authority = new MeshAuthority();
        var certificates = Lab.CreateFolder("certificates");
        await using var mesh = await FaultMesh.StartAsync(
            Lab,
            3,
            change: isEncrypted ? GiveCertificate : null,
            prepare: node => Task.FromResult(node.Environment = node.Name == "n1" ? faults.EnvironmentOf(node.CacheFolder) : null),
            originRate: OriginRate);
        await mesh.RememberUseAsync();
        foreach (var jump in (TimeSpan[])[TimeSpan.FromDays(1), TimeSpan.FromDays(-1), TimeSpan.FromHours(1), TimeSpan.FromDays(-3000), TimeSpan.FromDays(3000), TimeSpan.Zero])
        {
            var (blob, before) = (mesh.AddBlob(Size), mesh.Origin.Bytes);
            var start = Stopwatch.GetTimestamp();
            var reading = await mesh.ReadInTheMiddleAsync(mesh.Nodes, blob, Size / 8);
            faults.MoveClock(jump);
            await reading;
            FaultMesh.Print($"clock moved to {jump.TotalHours:+0;-0;0} h: all had it in {Stopwatch.GetElapsedTime(start).TotalSeconds:0.00} s, {(double)(mesh.Origin.Bytes - before) / Size:0.00} times from the registry");
            await DemandClockAsync(mesh.Nodes[0], jump);
        }

        FaultMesh.Print($"recovery: the mesh is whole {(await mesh.UntilWholeAsync(RecoveryLimit)).TotalSeconds:0.00} s after the clock is right");
        await mesh.DemandNothingLeftAsync();

        void GiveCertificate(PeerdNode node, JsonObject settings)
        {
            Certificates.Give(node, settings, authority, certificates);

            // So often it looks whether the certificates of others are still valid.
            settings["Mesh"]!["Tls"]!["Reload"] = "100ms";
        }
    }

    // The node says what time it is: without this the test could move nothing and not notice.
    private static async Task DemandClockAsync(PeerdNode node, TimeSpan offset)
    {
        using var client = new HttpClient();
        await Wait.UntilAsync($"the clock of {node.Name} is moved to {offset.TotalHours} h", node.Process, IsMovedAsync, PullTimeout);

        async Task<bool> IsMovedAsync()
        {
            using var response = await client.GetAsync(new Uri(node.Metrics, "healthz"));
            return (response.Headers.Date!.Value - TimeProvider.System.GetUtcNow() - offset).Duration() < TimeSpan.FromMinutes(1);
        }
    }
}
