namespace Peerd.Tests.Cli.Containerd;

public sealed class ConfigureContainerdTests : IDisposable
{
    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-certs-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Configure_NothingThere_WritesAFileForEachRegistryAndTakesAllOutAgain()
    {
        var first = await RunAsync();
        var files = Files();
        var second = await RunAsync();

        Assert.Equal((0, ""), (first.ExitCode, first.Error));
        Assert.Equal(7, files.Count);
        Assert.All(first.Lines, line => Assert.StartsWith("written", line, StringComparison.Ordinal));
        Assert.All(second.Lines, line => Assert.StartsWith("unchanged", line, StringComparison.Ordinal));
        Assert.Equal(
            """
            # >>> peerd (new file) (new folder): written by 'peerd configure containerd', taken out with --remove
            server = "https://registry-1.docker.io"

            [host."http://127.0.0.1:30000"]
              capabilities = ["pull", "resolve"]
              dial_timeout = "1s"

            # <<< peerd

            """,
            files["docker.io/hosts.toml"]);

        var removed = await RunAsync("--remove");
        Assert.All(removed.Lines, line => Assert.StartsWith("removed", line, StringComparison.Ordinal));
        Assert.Empty(_folder.GetFileSystemInfos());
        Assert.Equal(["nothing to do"], (await RunAsync("--remove")).Lines);
    }

    [Fact]
    public async Task Configure_AllKindsOfFiles_RemoveBringsBackEachByte()
    {
        Write("docker.io/hosts.toml", "server = \"https://registry-1.docker.io\"\r\n\r\n[host.\"https://mirror.test\"]");
        Write("quay.io/hosts.toml", "");
        Write("ghcr.io/ca.crt", "x");
        Write("ghcr.io/client.cert", "y");
        Write("ghcr.io/client.key", "z");
        Write("_default/hosts.toml", "[host.\"http://localhost:8578\"]\n  capabilities = [\"pull\"]\n");
        Write("reg.test_5000_/hosts.toml", "# mine\n");
        var before = Files();

        var run = await RunAsync("--registry", "docker.io", "--registry", "quay.io", "--registry", "ghcr.io", "--registry", "reg.test:5000", "--registry", "gcr.io", "--default");

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        var files = Files();
        Assert.Equal(before["_default/hosts.toml"], files["_default/hosts.toml"]);
        Assert.Contains(run.Lines, line => line.StartsWith("left", StringComparison.Ordinal) && line.Contains("somebody else's", StringComparison.Ordinal));
        Assert.Contains("127.0.0.1:30000", files["reg.test_5000_/hosts.toml"], StringComparison.Ordinal);

        // Certificates that counted go on to count, and so does _default, which a folder of its own hides only from now on.
        Assert.Contains("ca = [\"ca.crt\"]\nclient = [[\"client.cert\", \"client.key\"]]\n", files["ghcr.io/hosts.toml"], StringComparison.Ordinal);
        Assert.DoesNotContain("8578", files["ghcr.io/hosts.toml"], StringComparison.Ordinal);
        Assert.EndsWith("  dial_timeout = \"1s\"\n\n[host.\"http://localhost:8578\"]\n  capabilities = [\"pull\"]\n# <<< peerd\n", files["gcr.io/hosts.toml"], StringComparison.Ordinal);

        var forced = await RunAsync("--registry", "docker.io", "--default", "--force");
        Assert.Contains(forced.Lines, line => line.StartsWith("written", StringComparison.Ordinal) && line.Contains("_default", StringComparison.Ordinal));

        await RunAsync("--remove");
        Assert.Equal(before, Files());
        Assert.False(System.IO.Directory.Exists(Path.Combine(_folder.FullName, "gcr.io")));
    }

    [Fact]
    public async Task Configure_OneFileIsBroken_TheOthersAreWritten()
    {
        Write("quay.io/hosts.toml", "[host");

        var run = await RunAsync("--registry", "quay.io", "--registry", "ghcr.io");

        Assert.Equal(1, run.ExitCode);
        Assert.Contains(run.Lines, line => line.StartsWith("failed", StringComparison.Ordinal) && line.Contains("is no TOML", StringComparison.Ordinal));
        Assert.Contains(run.Lines, line => line.StartsWith("written", StringComparison.Ordinal) && line.Contains("ghcr.io", StringComparison.Ordinal));
        Assert.Equal("[host", Files()["quay.io/hosts.toml"]);
    }

    [Fact]
    public async Task Configure_NodesSettings_GiveRegistriesAndFacade()
    {
        var config = Path.Combine(_folder.FullName, "node.json");
        await File.WriteAllTextAsync(config, """{"Peerd":{"Facade":{"Listen":"0.0.0.0:31000"},"Origin":{"Registries":[{"Name":"reg.test:5000","Endpoint":"http://reg.test:5000"}]}}}""");

        var run = await RunAsync("--config", config, "--json");

        Assert.Equal($$$"""{"changes":[{"registry":"reg.test:5000","file":"{{{_folder.FullName}}}/reg.test:5000/hosts.toml","result":"written"}]}""", Assert.Single(run.Lines));
        var text = Files()["reg.test:5000/hosts.toml"];
        Assert.Contains("server = \"http://reg.test:5000\"", text, StringComparison.Ordinal);
        Assert.Contains("[host.\"http://127.0.0.1:31000\"]", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Configure_OthersHaveWrittenIntoOurFile_TheirsStays()
    {
        await RunAsync("--registry", "ghcr.io");
        Write("ghcr.io/hosts.toml", Files()["ghcr.io/hosts.toml"] + "\n[host.\"https://theirs.test\"]\n");

        var run = await RunAsync("--registry", "ghcr.io", "--mirror", "http://127.0.0.1:31000");

        Assert.StartsWith("written", Assert.Single(run.Lines), StringComparison.Ordinal);
        var text = Files()["ghcr.io/hosts.toml"];
        Assert.Contains("[host.\"http://127.0.0.1:31000\"]", text, StringComparison.Ordinal);
        Assert.EndsWith("# <<< peerd\n\n[host.\"https://theirs.test\"]\n", text, StringComparison.Ordinal);
        await RunAsync("--remove");
        Assert.Equal("\n[host.\"https://theirs.test\"]\n", Files()["ghcr.io/hosts.toml"]);
    }

    [Fact]
    public async Task Configure_RegistriesByAddress_AreReadThere()
    {
        await RunAsync("--registry", "http://reg.test:5000", "--registry", "https://ghcr.io/", "--registry", "https://docker.io");

        Assert.Contains("server = \"http://reg.test:5000\"", Files()["reg.test:5000/hosts.toml"], StringComparison.Ordinal);
        Assert.Contains("server = \"https://ghcr.io\"", Files()["ghcr.io/hosts.toml"], StringComparison.Ordinal);
        Assert.Contains("server = \"https://registry-1.docker.io\"", Files()["docker.io/hosts.toml"], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("--registry", "Bad Name")]
    [InlineData("--registry", "../x")]
    [InlineData("--mirror", "localhost")]
    public async Task Configure_BadArgument_IsRefused(string option, string value)
    {
        var run = await RunAsync(option, value);

        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains(value, run.Error, StringComparison.Ordinal);
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    private Task<CommandRun> RunAsync(params string[] options) => CommandRun.OfAsync(["configure", "containerd", "--certs-dir", _folder.FullName, .. options]);

    private void Write(string name, string text)
    {
        var path = Path.Combine(_folder.FullName, name);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }

    private SortedDictionary<string, string> Files() => new(
        _folder.EnumerateFiles("*", SearchOption.AllDirectories).ToDictionary(file => Path.GetRelativePath(_folder.FullName, file.FullName), file => File.ReadAllText(file.FullName)), StringComparer.Ordinal);
}
