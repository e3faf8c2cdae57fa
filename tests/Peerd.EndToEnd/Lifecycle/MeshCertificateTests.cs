using System.Text.Json.Nodes;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Lifecycle;

/// <summary>Nodes as they are deployed whose mesh has TLS, and whose certificates are replaced while they run.</summary>
public sealed class MeshCertificateTests : LabTest
{
    private const int MiB = 1 << 20;
    private const int Size = 24 * MiB;

    // Seconds for all of it, in which the certificates are replaced.
    private const long OriginRate = 6 * MiB;
    private const string Domain = "peerd.mesh";

    private static readonly TimeSpan WholeLimit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Read_CertificatesAndAuthorityReplacedInTheMiddle_NoReadFailsAndTheMeshStaysWhole()
    {
        using var first = new MeshAuthority();
        using var next = new MeshAuthority();
        var folders = Lab.CreateFolder("certificates");
        await using var mesh = await FaultMesh.StartAsync(
            Lab,
            3,
            (node, settings) =>
            {
                first.Write(FolderOf(node), NameOf(node));
                var tls = new JsonObject { ["Names"] = "node", ["Reload"] = "100ms" };
                foreach (var (key, value) in MeshAuthority.Settings(FolderOf(node)))
                {
                    tls[key] = value;
                }

                settings["Mesh"]!["Tls"] = tls;
            },
            originRate: OriginRate);
        await mesh.UntilWholeAsync(WholeLimit);
        var blob = mesh.AddBlob(Size);
        var reading = await mesh.ReadInTheMiddleAsync(mesh.Nodes, blob, Size / 8);

        // Each until another time, which is before the end of its authority. As operators do it: first everybody believes both authorities, then everybody shows what the next one has signed.
        foreach (var (issuer, authorities) in new[] { (first, first.Pem + next.Pem), (next, first.Pem + next.Pem), (next, next.Pem) })
        {
            var shown = new Dictionary<PeerdNode, long>();
            foreach (var node in mesh.Nodes)
            {
                using var certificate = issuer.Issue(TimeSpan.FromMinutes(-5), TimeSpan.FromHours(2 + Random.Shared.Next(500)), NameOf(node));
                MeshAuthority.Write(FolderOf(node), certificate, authorities);
                shown[node] = new DateTimeOffset(certificate.NotAfter).ToUnixTimeSeconds();
            }

            await Task.WhenAll(mesh.Nodes.Select(node => Wait.UntilAsync($"{node.Name} shows its new certificate", node.Process, async () => await ExpiryAsync(node) == shown[node], PullTimeout)));
        }

        Assert.False(reading.IsCompleted, "it was read too fast for certificates to be replaced in the middle");
        await reading;

        // Connections that are made anew, as each of them is some day, work, too.
        FaultMesh.Print($"the mesh is whole {(await mesh.UntilWholeAsync(WholeLimit)).TotalSeconds:0.00} s after the last certificate was replaced");

        string FolderOf(PeerdNode node) => Path.Combine(folders, node.Name);
    }

    private static string NameOf(PeerdNode node) => $"{node.Name}.{Domain}";

    private static async Task<long> ExpiryAsync(PeerdNode node)
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        return (await NodeMetrics.ReadAsync(node, host: null, deadline.Token)).Sum("peerd_mesh_certificate_expiry_timestamp_seconds");
    }
}
