using System.Net;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;
using Peerd.Tests.Hosting;
using Peerd.Tests.Mesh.Tls;

namespace Peerd.Tests.Cli;

/// <summary>Commands that ask a node whose mesh has certificates.</summary>
public sealed class NodeAccessTests
{
    [Theory]
    [InlineData("status", "node-1")]
    [InlineData("ring", "node-2")]
    [InlineData("peers", "node-2")]
    [InlineData("doctor --check mesh", "node-1 and 1 of 1 others reach each other")]
    public async Task AnyQuery_WithTheSettingsOfTheNode_IsAnswered(string verb, string expected)
    {
        await using var mesh = await TlsMesh.StartAsync(nodes: 2);
        var run = await CommandRun.OfAsync([.. verb.Split(' '), verb.StartsWith("doctor", StringComparison.Ordinal) ? "--node" : "--address", $"https://{mesh.Node.MeshEndPoint}", "--config", ConfigOf(mesh, mesh.FolderOf("node-1"))]);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains(expected, run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("status", "node-1")]
    [InlineData("ring", "node-1")]
    [InlineData("doctor --check mesh", "node-1")]
    public async Task AnyQuery_WithoutAnAddress_AsksWhereTheSettingsSay(string verb, string expected)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Mesh:Listen=[::]:0"], reachedAt: IPAddress.Loopback);

        var run = await WithListenAsync($"[::]:{mesh.Node.MeshEndPoint.Port}", verb);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains(expected, run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnyQuery_WithoutAnAddressInAMeshOfCertificates_AsksByHttps()
    {
        await using var mesh = await TlsMesh.StartAsync();

        var run = await CommandRun.OfAsync("status", "--config", ConfigOf(mesh, mesh.FolderOf("node-1"), $"{mesh.Node.MeshEndPoint}"));

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
    }

    [Fact]
    public async Task AnyQuery_SettingsWithoutAPort_SaysWhatIsAllowed()
    {
        var run = await WithListenAsync("127.0.0.1", "status");

        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Equal("peerd: the settings of the node cannot be read: Peerd:Mesh:Listen is '127.0.0.1'; allowed: an IP address and a port, such as 127.0.0.1:30000 or [::1]:30000\n", run.Error);
    }

    [Theory]
    [InlineData("Mesh", "status", "--address")]
    [InlineData("Mesh", "doctor", "--node")]
    [InlineData("Mesh", "doctor --check overlaybd --check mesh", "--node")]
    [InlineData("Facade", "doctor", "--facade")]
    [InlineData("Facade", "doctor --check overlaybd", "--facade")]
    [InlineData("Facade", "doctor --check mesh --check containerd", "--facade")]
    [InlineData("Facade", "fetch reg.test/team/app:v1", "--facade")]
    public async Task AnyQuery_SettingsWithAnyPort_AsksForAnAddress(string section, string verb, string option)
    {
        var run = await WithSettingsAsync(new JsonObject { [section] = new JsonObject { ["Listen"] = "127.0.0.1:0" } }, verb);

        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Equal($"peerd: Peerd:{section}:Listen is '127.0.0.1:0', which names no port: give {option}\n", run.Error);
    }

    // Nobody listens at the other one.
    [Theory]
    [InlineData("Facade", "mesh", "error    mesh: ")]
    [InlineData("Mesh", "overlaybd", "ok       overlaybd: ")]
    public async Task Doctor_SettingsWithAnyPortThatNoCheckNeeds_Runs(string section, string check, string expected)
    {
        var settings = new JsonObject { ["Facade"] = new JsonObject { ["Listen"] = "127.0.0.1:1" }, ["Mesh"] = new JsonObject { ["Listen"] = "127.0.0.1:1" } };
        settings[section]!["Listen"] = "127.0.0.1:0";

        var run = await WithSettingsAsync(settings, $"doctor --check {check} --overlaybd-file /does/not/exist");

        Assert.Equal("", run.Error);
        Assert.StartsWith(expected, run.Output, StringComparison.Ordinal);
    }

    // Nobody listens there.
    [Fact]
    public async Task Fetch_WithoutAFacade_ReadsThroughThatOfTheSettings()
    {
        var nowhere = new JsonObject { ["Listen"] = "0.0.0.0:1" };
        var run = await WithSettingsAsync(new JsonObject { ["Facade"] = nowhere, ["Mesh"] = nowhere.DeepClone() }, "fetch reg.test/team/app:v1");

        Assert.Equal(1, run.ExitCode);
        Assert.StartsWith("Fetching reg.test/team/app:v1 through http://127.0.0.1:1\n", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnyQuery_HttpsWithoutACertificate_SaysWhatIsMissing()
    {
        var run = await CommandRun.OfAsync("status", "--address", "https://127.0.0.1:30001");

        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.Equal("peerd: --address is 'https://127.0.0.1:30001'; for https set Peerd:Mesh:Tls in the file of --config, or as environment variables\n", run.Error);
    }

    [Fact]
    public async Task AnyQuery_InClearText_IsNotAnswered()
    {
        await using var mesh = await TlsMesh.StartAsync();

        var run = await CommandRun.OfAsync("status", "--address", $"http://{mesh.Node.MeshEndPoint}");

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
    }

    [Fact]
    public async Task AnyQuery_NodeOfAForeignAuthority_TellsWhyItIsRefused()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var foreign = new MeshAuthority();
        foreign.Write(mesh.FolderOf("foreign"), "node-1.peerd.mesh");

        var run = await CommandRun.OfAsync("status", "--address", $"https://{mesh.Node.MeshEndPoint}", "--config", ConfigOf(mesh, mesh.FolderOf("foreign")));

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Contains("the certificate of the node was refused: it is expired, or does not lead to the authority of the mesh", run.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnyQuery_FilesThatAreMissing_SaysWhich()
    {
        await using var mesh = await TlsMesh.StartAsync();

        var run = await CommandRun.OfAsync("status", "--config", ConfigOf(mesh, "/does/not/exist"));

        Assert.Equal((2, ""), (run.ExitCode, run.Output));
        Assert.StartsWith("peerd: Peerd:Mesh:Tls:Certificate is '/does/not/exist/tls.crt', which cannot be used", run.Error, StringComparison.Ordinal);
    }

    private static Task<CommandRun> WithListenAsync(string listen, string verb) =>
        WithSettingsAsync(new JsonObject { ["Mesh"] = new JsonObject { ["Listen"] = listen } }, verb);

    private static async Task<CommandRun> WithSettingsAsync(JsonObject settings, string verb)
    {
        var file = Path.GetTempFileName();
        try
        {
            await File.WriteAllTextAsync(file, new JsonObject { ["Peerd"] = settings }.ToJsonString());
            return await CommandRun.OfAsync([.. verb.Split(' '), "--config", file]);
        }
        finally
        {
            File.Delete(file);
        }
    }

    private static string ConfigOf(TlsMesh mesh, string folder, string? listen = null)
    {
        var tls = new JsonObject { ["Names"] = "node" };
        foreach (var (key, value) in MeshAuthority.Settings(folder))
        {
            tls[key] = value;
        }

        var file = Path.Combine(mesh.FolderOf("node-1"), "config.json");
        File.WriteAllText(file, new JsonObject { ["Peerd"] = new JsonObject { ["Mesh"] = new JsonObject { ["Listen"] = listen, ["Tls"] = tls } } }.ToJsonString());
        return file;
    }
}
