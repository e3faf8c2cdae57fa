using System.Runtime.Versioning;
using System.Text;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;

namespace Peerd.Tests.Cli.Doctor;

/// <summary>doctor against settings and hosts of containerd of all kinds, with a stand-in for its program and for the facade.</summary>
[SupportedOSPlatform("linux")]
public sealed class ContainerdCheckTests : IAsyncLifetime
{
    private const string Version2 = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"CERTS\"\n";
    private const string Version3 = "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\n  max_concurrent_downloads = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"CERTS\"\n";

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-doctor-test-");
    private WebApplication _facade = null!;

    private string Certs => Path.Combine(_folder.FullName, "certs.d");

    private string Facade => _facade.Urls.Single();

    public async ValueTask InitializeAsync() => _facade = await StandInFacade.StartAsync();

    public async ValueTask DisposeAsync()
    {
        await _facade.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Doctor_NoContainerd_IsFine()
    {
        var run = await RunAsync(program: null);

        Assert.Contains("containerd is not installed here", run.Output, StringComparison.Ordinal);
        Assert.Equal(0, run.ExitCode);
    }

    [Theory]
    [InlineData("1.6.20~ds1", Version2)]
    [InlineData("v2.1.9", Version3)]
    public async Task Doctor_Configured_IsFine(string version, string config)
    {
        await CommandRun.OfAsync("configure", "containerd", "--certs-dir", Certs, "--mirror", Facade);

        var run = await RunAsync(version, config);

        Assert.True(run.ExitCode == 0 && run.Output.Contains("0 errors, 0 warnings", StringComparison.Ordinal), run.Output);
        Assert.Contains("the facade answers", run.Output, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("1.6.20", "version = 2\n", "error", "config_path is not set")]
    [InlineData("v2.1.9", "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", "error", "take it for one folder")]
    [InlineData("v2.0.5", "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", "ok", "config_path leads to")]
    [InlineData("v2.1.9", "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = true\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", "ok", "config_path leads to")]
    [InlineData("1.7.24", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", "ok", "config_path leads to")]
    [InlineData("1.7.24", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/elsewhere\"\n", "error", "is '/elsewhere', not")]
    [InlineData("1.7.24", Version2 + "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndiscard_unpacked_layers = true\n", "warning", "discard_unpacked_layers is true")]
    [InlineData("v2.1.9", "version = 3\n[plugins.\"io.containerd.cri.v1.images\"]\ndiscard_unpacked_layers = true\n", "warning", "discard_unpacked_layers is true")]
    [InlineData("1.7.24", "disabled_plugins = [\"cri\"]\n", "ok", "runs no pods here")]
    [InlineData("v2.1.9", "version = 3\n[plugins.\"io.containerd.cri.v1.images\".registry]\n  config_path = \"CERTS:/x\"\n[plugins.\"io.containerd.cri.v1.images\".registry.mirrors.\"a.test\"]\nendpoint = []\n", "ok", "config_path leads to")]
    [InlineData("1.7.24", "nonsense", "error", "is no TOML")]
    public async Task Doctor_Settings_AreUnderstood(string version, string config, string severity, string expected)
    {
        System.IO.Directory.CreateDirectory(Certs);

        await AssertFindingAsync(await RunAsync(version, config), severity, expected);
    }

    [Theory]
    [InlineData("1.7.24", "[host", "error", "ignores the whole file")]
    [InlineData("1.7.24", "[host.\"http://a.test\"]\ncapabilities = [\"pull\", \"referrers\"]\n", "error", "the capability 'referrers'")]
    [InlineData("v2.2.0", "[host.\"http://a.test\"]\ncapabilities = [\"pull\", \"referrers\"]\n", "warning", "no hosts.toml below")]
    [InlineData("1.7.24", "[host.\"http://a.test\"]\ncapabilities = \"pull\"\n", "error", "that are no list")]
    [InlineData("1.7.24", "[host.\"http://a.test\"]\nskip_verify = \"yes\"\n", "error", "neither true nor false")]
    [InlineData("1.7.24", "host = 1\n", "error", "no table")]
    [InlineData("1.6.20", "server = \"https://a.test\"\n", "error", "which containerd 1.6 does not take")]
    [InlineData("1.7.24", "server = \"https://a.test\"\n", "warning", "no hosts.toml below")]
    [InlineData("1.7.24", "[host.\"http://a.test\"]\ncapabilities = [\"Pull\"]\n", "warning", "no hosts.toml below")]
    [InlineData("1.7.24", "capabilities = [\"fetch\"]\n", "error", "the capability 'fetch' for the registry")]
    [InlineData("1.7.24", "server = [\"https://a.test\"]\n", "error", "a server that is no text")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\nca = true\n", "error", "a ca of https://a.test")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\nca = [\"a\", 1]\n", "error", "a ca of https://a.test")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\nclient = [[\"a\"]]\n", "error", "a client of https://a.test")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\nclient = 1\n", "error", "a client of https://a.test")]
    [InlineData("1.7.24", "[host.\"https://a.test\".header]\nx = 1\n", "error", "a header of https://a.test")]
    [InlineData("v2.1.9", "[host.\"https://a.test\"]\ndial_timeout = 5\n", "error", "a dial_timeout of https://a.test")]
    [InlineData("v2.1.9", "[host.\"https://a.test\"]\ndial_timeout = \"5\"\n", "error", "a dial_timeout of https://a.test")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\ndial_timeout = 5\n", "warning", "no hosts.toml below")]
    [InlineData("v2.1.9", "server = \"https://a.test\"\n[host.\"https://a.test\"]\ndial_timeout = \"1m1.5s\"\n[host.\"https://a.test\".header]\nx = [\"1\"]\n", "warning", "no hosts.toml below")]
    [InlineData("v2.1.9", "\uFEFFserver = \"https://a.test\"\n", "error", "a byte order mark")]
    [InlineData("1.7.24", "\uFEFFserver = \"https://a.test\"\n", "warning", "no hosts.toml below")]
    [InlineData("1.7.24", "ca = \"gone.crt\"\n", "error", "names gone.crt, which is not there: each pull from docker.io fails")]
    [InlineData("1.7.24", "[host.\"https://a.test\"]\nclient = [[\"/gone.cert\", \"hosts.toml\"]]\n", "error", "names /gone.cert, which is not there")]
    [InlineData("1.7.24", "[host.\"FACADE\"]\nskip_verify = true\n", "warning", "tries TLS there first")]
    [InlineData("1.7.24", "[host.\"http://first.test\"]\n[host.\"FACADE\"]\n", "warning", "before the facade")]
    [InlineData("1.7.24", "[host.\"FACADE\"]\n", "warning", "hides _default for docker.io: its host http://other.test does not count there")]
    public async Task Doctor_Hosts_AreReadAsContainerdDoes(string version, string hosts, string severity, string expected)
    {
        Write("docker.io", hosts.Replace("FACADE", Facade, StringComparison.Ordinal));
        Write("_default", "[host.\"http://other.test\"]\n");

        await AssertFindingAsync(await RunAsync(version, Version2), severity, expected);
    }

    [Theory]
    [InlineData("docker.io", "[host.\"http://other.test\"]\n", "docker.io")]
    [InlineData("docker.io", "ca = \"hosts.toml\"\n", "docker.io")]
    [InlineData("reg.test_5000_", "[host.\"http://other.test\"]\n", "reg.test:5000")]
    [InlineData("reg.test:5000", "[host.\"http://other.test\"]\n", "reg.test:5000")]
    [InlineData("docker.io", "[host.\"FACADE\"]\n", null)]
    public async Task Doctor_DefaultLeadsToTheFacade_WhoHidesItAndDoesNotIsTold(string folder, string hosts, string? registry)
    {
        Write(folder, hosts.Replace("FACADE", Facade, StringComparison.Ordinal));
        Write("_default", $"[host.\"{Facade}\"]\n");

        var run = await RunAsync("1.7.24", Version2);

        Assert.Equal(registry is not null, run.Lines.Any(line => line.StartsWith("warning  containerd: ", StringComparison.Ordinal) && line.Contains($"hides _default for {folder}, and does not lead to the facade itself", StringComparison.Ordinal)));
        Assert.Equal(registry is not null, run.Lines.Any(line => line.StartsWith($"         to do: peerd configure containerd --registry {registry}, unless", StringComparison.Ordinal)));
    }

    // Without the program, which would tell what is in force.
    [Theory]
    [InlineData(Version2, null, "ok", "config_path leads to")]
    [InlineData("version = 2\nimports = [\"more/*.toml\"]\n", Version2, "ok", "config_path leads to")]
    [InlineData("version = 2\nimports = [\"FOLDER/more/a.toml\"]\n", Version2, "ok", "config_path leads to")]
    [InlineData("imports = [\"more/a.toml\"]\n" + Version2, "version = 2\nimports = [\"a.toml\", \"../config.toml\"]\n[plugins.\"io.containerd.grpc.v1.cri\"]\nsandbox_image = \"p\"\n", "error", "config.toml and 1 that it imports")]
    [InlineData("imports = [\"gone.toml\"]\n" + Version2, null, "error", "gone.toml, which is not there")]
    [InlineData("imports = [\"more/a.toml\"]\n" + Version2, "nonsense", "error", "a.toml, which is no TOML")]
    [InlineData("imports = [\"more/*.toml\"]\n" + Version2, "disabled_plugins = [\"cri\"]\n", "ok", "runs no pods here")]
    [InlineData("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", null, "warning", "take it for one folder")]
    [InlineData("version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\ndisable_snapshot_annotations = false\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"CERTS:/etc/docker/certs.d\"\n", null, "ok", "config_path leads to")]
    public async Task Doctor_NoProgram_ReadsTheFileAndItsImports(string config, string? import, string severity, string expected)
    {
        System.IO.Directory.CreateDirectory(Certs);
        if (import is not null)
        {
            System.IO.Directory.CreateDirectory(Path.Combine(_folder.FullName, "more"));
            await File.WriteAllTextAsync(Path.Combine(_folder.FullName, "more", "a.toml"), import.Replace("CERTS", Certs, StringComparison.Ordinal), TestContext.Current.CancellationToken);
        }

        await AssertFindingAsync(await RunAsync(config: config.Replace("FOLDER", _folder.FullName, StringComparison.Ordinal), program: null), severity, expected);
    }

    [Fact]
    public async Task Doctor_FacadeIsDown_IsAnError()
    {
        Write("docker.io", "[host.\"http://127.0.0.1:1\"]\n");

        await AssertFindingAsync(await RunAsync("1.7.24", Version2, "http://127.0.0.1:1"), "error", "nothing listens at http://127.0.0.1:1");
    }

    [Theory]
    [InlineData(Silence.Close)]
    [InlineData(Silence.Reset)]
    public async Task Doctor_WhatTakesConnectionsDoesNotAnswer_IsAnError(Silence silence)
    {
        await using var server = new SilentServer(silence);
        var url = $"http://127.0.0.1:{server.Port}";
        Write("docker.io", $"[host.\"{url}\"]\n");

        await AssertFindingAsync(await RunAsync("1.7.24", Version2, url), "error", $"what listens at {url} takes connections and does not answer (it closes connections without an answer): ");
    }

    [Fact]
    public async Task Doctor_FacadeIsAskedByHttps_IsAnError()
    {
        var url = Facade.Replace("http:", "https:", StringComparison.Ordinal);
        Write("docker.io", $"[host.\"{url}\"]\n");

        await AssertFindingAsync(await RunAsync("1.7.24", Version2, url), "error", $"what answers at {url} is no facade: it does not speak HTTPS");
    }

    // Whatever listens at that port, with or without a page for every path.
    [Theory]
    [InlineData(404, "it said 404 to /v2/")]
    [InlineData(302, "it said 302 to /v2/")]
    [InlineData(200, "it said 200 to /v2/, but not as a facade does")]
    public async Task Doctor_AnotherServerAtTheMirrorsAddress_IsNoFacade(int status, string expected)
    {
        await using var other = await StandInFacade.StartAsync(context =>
        {
            context.Response.StatusCode = status;
            context.Response.Headers.Location = "/login";
            return context.Response.WriteAsync("<html>");
        });
        var url = other.Urls.Single();
        Write("docker.io", $"[host.\"{url}\"]\n");

        var run = await RunAsync("1.7.24", Version2, url);

        await AssertFindingAsync(run, "error", $"what answers at {url} is no facade: {expected}");
        Assert.DoesNotContain("the facade answers", run.Output, StringComparison.Ordinal);
        Assert.Equal(1, run.ExitCode);
    }

    private static Task AssertFindingAsync(CommandRun run, string severity, string expected)
    {
        var lines = run.Lines.ToList();
        var found = lines.FindIndex(line => line.StartsWith($"{severity,-7}  containerd: ", StringComparison.Ordinal) && line.Contains(expected, StringComparison.Ordinal));
        Assert.True(found >= 0, run.Output + run.Error);
        Assert.True(severity == "ok" || lines[found + 1].StartsWith("         to do: ", StringComparison.Ordinal), $"nothing is said to do about '{lines[found]}'");
        return Task.CompletedTask;
    }

    private void Write(string registry, string text)
    {
        System.IO.Directory.CreateDirectory(Path.Combine(Certs, registry));
        File.WriteAllText(Path.Combine(Certs, registry, "hosts.toml"), text);
    }

    // A containerd that tells its version and repeats its file, as config dump does.
    private async Task<CommandRun> RunAsync(string? version = null, string? config = null, string? facade = null, string? program = "containerd")
    {
        var file = Path.Combine(_folder.FullName, "config.toml");
        var path = Path.Combine(_folder.FullName, "containerd");
        if (config is not null)
        {
            await File.WriteAllTextAsync(file, config.Replace("CERTS", Certs, StringComparison.Ordinal));
        }

        if (program is not null)
        {
            await File.WriteAllTextAsync(path, $"#!/bin/sh\nif [ \"$1\" = --version ]; then echo 'containerd github.com/containerd/containerd {version} abc'; else cat \"$2\"; fi\n", new UTF8Encoding(false));
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return await CommandRun.OfAsync("doctor", "--check", "containerd", "--containerd", path, "--containerd-file", file, "--certs-dir", Certs, "--facade", facade ?? Facade);
    }
}
