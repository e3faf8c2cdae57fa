using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Faults;

/// <summary>What lets nodes speak by TLS to each other.</summary>
internal static class Certificates
{
    /// <summary>Gives a node a certificate with its name, and the settings that lead to it.</summary>
    /// <param name="node">The node.</param>
    /// <param name="settings">The section Peerd of what it is started with.</param>
    /// <param name="authority">Signs the certificate.</param>
    /// <param name="folder">Where the files are, those of each node below it.</param>
    public static void Give(PeerdNode node, JsonObject settings, MeshAuthority authority, string folder)
    {
        var own = Path.Combine(folder, node.Name);
        using var certificate = authority.Write(own, $"{node.Name}.peerd.mesh");
        var tls = new JsonObject { ["Names"] = "node" };
        foreach (var (key, value) in MeshAuthority.Settings(own))
        {
            tls[key] = value;
        }

        settings["Mesh"]!["Tls"] = tls;
    }
}
