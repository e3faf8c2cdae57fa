using System.Text.Json.Nodes;
using Peerd.EndToEnd.Faults;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Commands;

/// <summary>What <c>peerd doctor --check mesh</c> finds at real nodes.</summary>
public sealed class DoctorMeshTests : LabTest
{
    [Fact]
    public async Task Doctor_OtherListOfMembersAndWrongClock_BothAreFoundWithAdvice()
    {
        var registry = new Upstream("registry.test", new Uri("http://127.0.0.1:1"));
        var nodes = PeerdNode.CreateMany(Lab, 4);
        using var faults = await PreloadedFaults.CreateAsync(Lab);
        nodes[2].Environment = faults.EnvironmentOf(nodes[2].CacheFolder);
        await Task.WhenAll(nodes.Select(node => node.StartAsync(node == nodes[1] ? nodes[..2] : nodes, registry)));
        faults.MoveClock(TimeSpan.FromHours(1));

        var process = await PeerdCommand.RunAsync(Lab, "doctor", "--json", "--check", "mesh", "--node", nodes[0].Mesh.GetLeftPart(UriPartial.Authority));

        var findings = JsonNode.Parse(process.Output.Last(line => line.Length > 0))!["findings"]!.AsArray().Select(finding => finding!.AsObject()).ToList();
        Assert.Equal(2, findings.Count);
        AssertFound("n2 sees 2 members, n1 sees 4", "peerd ring");
        AssertFound("s ahead of the clock here", "NTP");

        void AssertFound(string seen, string advice) =>
            Assert.Contains(findings, finding => ((string)finding["seen"]!).Contains(seen, StringComparison.Ordinal) && ((string)finding["advice"]!).Contains(advice, StringComparison.Ordinal));
    }
}
