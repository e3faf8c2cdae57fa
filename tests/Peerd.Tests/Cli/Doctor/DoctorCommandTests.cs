using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Cli.Doctor;
using Peerd.Node.Facade;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Cli.Doctor;

/// <summary>doctor against settings of all kinds, with a server that stands for the facade.</summary>
public sealed class DoctorCommandTests : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-doctor-test-");
    private WebApplication _facade = null!;

    private string Settings => Path.Combine(_folder.FullName, "overlaybd.json");

    private int Port { get; set; }

    public async ValueTask InitializeAsync()
    {
        _facade = await StandInFacade.StartAsync();
        Port = PortOf(_facade);
    }

    public async ValueTask DisposeAsync()
    {
        await _facade.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Doctor_NoOverlaybd_IsFine()
    {
        var run = await RunAsync();

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal([$"ok       overlaybd: {Settings} does not exist: overlaybd is not installed here", "0 errors, 0 warnings"], run.Lines);
    }

    [Fact]
    public async Task Doctor_LedToTheFacade_IsFine()
    {
        await File.WriteAllTextAsync(Settings, "{}");
        await CommandRun.OfAsync("configure", "overlaybd", "--file", Settings, "--address", $"http://localhost:{Port}/blobs");

        var run = await RunAsync();

        Assert.Equal(0, run.ExitCode);
        Assert.Equal([$"ok       overlaybd: p2p is on and leads to the facade at http://localhost:{Port}/blobs, which answers", "0 errors, 0 warnings"], run.Lines);
    }

    [Fact]
    public async Task Doctor_WithoutAFacade_TakesThatOfTheSettings()
    {
        await WriteAsync($"http://localhost:{Port}/blobs");
        var config = Path.Combine(_folder.FullName, "settings.json");
        await File.WriteAllTextAsync(config, $"{{\"Peerd\": {{\"Facade\": {{\"Listen\": \"127.0.0.1:{Port}\"}}}}}}");

        var run = await CommandRun.OfAsync("doctor", "--check", "overlaybd", "--overlaybd-file", Settings, "--config", config);

        Assert.Contains($"ok       overlaybd: p2p is on and leads to the facade at http://localhost:{Port}/blobs, which answers", run.Lines);
    }

    [Fact]
    public async Task Doctor_FacadeIsDown_IsAnError()
    {
        using var closed = new ClosedPort();
        Port = closed.Number;
        await WriteAsync($"http://127.0.0.1:{Port}/blobs");

        await AssertFindingAsync("error", $"nothing listens at 127.0.0.1:{Port} (");
    }

    // overlaybd only looks whether it can connect.
    [Theory]
    [InlineData(Silence.Wait, "no answer within 8 s")]
    [InlineData(Silence.Close, "it closes connections without an answer")]
    [InlineData(Silence.Reset, "it closes connections without an answer")]
    public async Task Doctor_WhatTakesConnectionsDoesNotAnswer_ReadsAreSaidToWaitOrFail(Silence silence, string expected)
    {
        await using var server = new SilentServer(silence);
        Port = server.Port;
        await WriteAsync($"http://localhost:{Port}/blobs");
        var time = new FakeTimeProvider();

        var checking = CheckAsync(time);
        await server.Asked.WaitAsync(Wait.Longest);
        if (silence == Silence.Wait)
        {
            time.Advance(TimeSpan.FromSeconds(8));
        }

        var finding = Assert.Single(await checking.WaitAsync(Wait.Longest));
        Assert.Equal(Severity.Error, finding.Severity);
        Assert.StartsWith($"what listens at 127.0.0.1:{Port} takes connections and does not answer ({expected}): ", finding.Seen, StringComparison.Ordinal);
        Assert.DoesNotContain("end that server", finding.Advice, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_FacadeAnswersOnceItHasRoomForTheConnection_IsFine()
    {
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var hasRoom = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var full = await StandInFacade.StartAsync(async context =>
        {
            asked.SetResult();
            await hasRoom.Task;
            await StandInFacade.AnswerAsync(context);
        });
        Port = PortOf(full);
        await WriteAsync($"http://localhost:{Port}/blobs");
        var time = new FakeTimeProvider();

        var checking = CheckAsync(time);
        await asked.Task.WaitAsync(Wait.Longest);
        time.Advance(FacadeConnections.Patience);
        hasRoom.SetResult();

        Assert.Equal(Severity.Ok, Assert.Single(await checking.WaitAsync(Wait.Longest)).Severity);
    }

    [Theory]
    [InlineData(404, false, "it said 404 to /v2/")]
    [InlineData(200, false, "it said 200 to /v2/, but not as a facade does")]
    [InlineData(200, true, "it said 200 to /v2/, but not as a facade does")]
    public async Task Doctor_AnotherServerAtTheAddress_IsNoFacade(int status, bool isRegistry, string expected)
    {
        await using var other = await StandInFacade.StartAsync(context =>
        {
            context.Response.StatusCode = status;
            if (isRegistry)
            {
                context.Response.Headers["Docker-Distribution-Api-Version"] = "registry/2.0";
            }

            return context.Response.WriteAsync("{}");
        });
        Port = PortOf(other);
        await WriteAsync($"http://localhost:{Port}/blobs");

        await AssertFindingAsync("error", $"what answers at 127.0.0.1:{Port} is no facade: {expected}");
    }

    [Fact]
    public async Task Doctor_AProgramOfAnotherProtocolAtTheAddress_IsNoFacade()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var greeting = GreetAsync();
        Port = ((IPEndPoint)other.LocalEndpoint).Port;
        await WriteAsync($"http://localhost:{Port}/blobs");

        await AssertFindingAsync("error", $"what answers at 127.0.0.1:{Port} is no facade: it does not speak HTTP");
        await greeting;

        async Task GreetAsync()
        {
            using var client = await other.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
            await client.GetStream().WriteAsync("SSH-2.0-test\r\n"u8.ToArray(), TestContext.Current.CancellationToken);

            // Until the other end has gone.
            await client.GetStream().CopyToAsync(Stream.Null, TestContext.Current.CancellationToken);
        }
    }

    [Fact]
    public async Task Doctor_LedToARunningNode_IsFine()
    {
        await using var mesh = await TestMesh.StartAsync();
        Port = mesh.Node.Client.BaseAddress!.Port;
        await WriteAsync($"http://localhost:{Port}/blobs");

        await AssertFindingAsync("ok", "p2p is on and leads to the facade");
    }

    [Theory]
    [InlineData("localhost:PORT/blobs", "without that overlaybd reads straight from the registry's hosts without a word")]
    [InlineData("https://localhost:PORT/blobs", "the only thing that the facade speaks")]
    [InlineData("http://node-1:PORT/blobs", "its host is neither localhost nor 127.x.x.x")]
    [InlineData("http://[::1]:PORT/blobs", "its host is neither localhost nor 127.x.x.x")]
    [InlineData("http://localhost:1/blobs", "is not the facade of this node")]
    [InlineData("http://localhost:PORT/dadip2p", "its path is not /blobs")]
    public async Task Doctor_WrongAddress_IsAnError(string address, string expected)
    {
        await WriteAsync(address.Replace("PORT", $"{Port}", StringComparison.Ordinal));

        await AssertFindingAsync("error", expected);
    }

    [Theory]
    [InlineData("""{"p2pConfig": {"enable": true}}""", "error", "p2pConfig.address is not set")]
    [InlineData("""{"p2pConfig": {"enable": true, "address": 1}}""", "error", "p2pConfig.address is not set or no string")]
    [InlineData("""{"p2pConfig": {"enable": "true"}}""", "error", "p2pConfig.enable is a string")]
    [InlineData("""{"p2pConfig": 1}""", "error", "has a p2pConfig that is a number")]
    [InlineData("""{}""", "warning", "p2p is off")]
    [InlineData("""{"p2pConfig": {"enable": false, "address": "nonsense"}}""", "warning", "p2p is off")]
    [InlineData("""{"p2pConfig": {}, "p2pConfig": {"enable": true}}""", "warning", "p2pConfig is there more than once")]
    [InlineData("""{"p2pConfig": {"enable": true, "enable": false}}""", "warning", "p2pConfig.enable is there more than once; overlaybd takes the first")]
    [InlineData("""{"p2pConfig": {"enable": true, "address": "", "address": ""}}""", "warning", "p2pConfig.address is there more than once; overlaybd takes the first")]
    [InlineData("nonsense", "error", "is not JSON")]
    [InlineData("""{"a": 1,}""", "error", "has a comment or a trailing comma")]
    [InlineData("""{"a": 1 /* one */}""", "error", "has a comment or a trailing comma")]
    [InlineData("""{"enableThread": true}""", "error", "enableThread is true with a file cache")]
    [InlineData("""{"enableThread": true, "cacheConfig": {"cacheType": "file"}, "cacheType": "ocf"}""", "error", "enableThread is true with a file cache")]
    [InlineData("""{"p2pConfig": {"enable": true}, "registryFsVersion": "v1"}""", "warning", "registryFsVersion is not v2")]
    [InlineData("""{"p2pConfig": {"enable": true}, "download": {"enable": true}}""", "warning", "download.enable is true")]
    [InlineData("""{"p2pConfig": {"enable": true}, "cacheConfig": {"cacheType": "file"}}""", "ok", "does not use its own cache")]
    public async Task Doctor_Settings_AreJudged(string text, string severity, string expected)
    {
        await File.WriteAllTextAsync(Settings, text);

        await AssertFindingAsync(severity, expected);
    }

    [Theory]
    [InlineData("""{"enableThread": true, "cacheConfig": {"cacheType": "ocf"}}""", "enableThread")]
    [InlineData("""{"enableThread": true, "cacheType": "download"}""", "enableThread")]
    [InlineData("""{"p2pConfig": {"enable": true}, "registryFsVersion": "v2", "download": {"enable": false}}""", "registryFsVersion")]
    [InlineData("""{"p2pConfig": {"enable": true}, "registryFsVersion": "v2", "download": {"enable": false}}""", "download")]
    [InlineData("""{"p2pConfig": {"enable": false}, "registryFsVersion": "v1", "download": {"enable": true}}""", "registryFsVersion")]
    public async Task Doctor_HarmlessSettings_AreNotTold(string text, string unexpected)
    {
        await File.WriteAllTextAsync(Settings, text);

        Assert.DoesNotContain(unexpected, (await RunAsync()).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_CannotBeRead_IsAnError()
    {
        File.CreateSymbolicLink(Settings, "nowhere");
        await AssertFindingAsync("error", "does not exist: is overlaybd installed here?");

        File.Delete(Settings);
        Directory.CreateDirectory(Settings);
        await AssertFindingAsync("error", "cannot be read: it is not a file");
    }

    [Fact]
    public async Task Doctor_SecretsInAddresses_AreNotPrinted()
    {
        await WriteAsync("http://user:S3cret-hidden@localhost:1/blobs");
        Assert.DoesNotContain("S3cret", (await RunAsync()).Output, StringComparison.Ordinal);
        await WriteAsync("http://localhost:1/blobs?sig=S3crethidden");
        Assert.DoesNotContain("S3cret", (await RunAsync("--json")).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_Json_PrintsOneObject()
    {
        await File.WriteAllTextAsync(Settings, "{}");

        var run = await RunAsync("--json");

        Assert.Equal(0, run.ExitCode);
        Assert.Equal(
            $$$"""{"errors":0,"warnings":1,"findings":[{"check":"overlaybd","severity":"warning","seen":"p2p is off: overlaybd reads straight from the registry, not through the mesh","advice":"peerd configure overlaybd --file {{{Settings}}} --address http://localhost:{{{Port}}}/blobs"}]}""",
            Assert.Single(run.Lines));
    }

    private static int PortOf(WebApplication server) => new Uri(server.Urls.Single()).Port;

    private async Task AssertFindingAsync(string severity, string expected)
    {
        var run = await RunAsync();

        var index = Array.FindIndex(run.Lines, line => line.StartsWith($"{severity,-7}  overlaybd: ", StringComparison.Ordinal) && line.Contains(expected, StringComparison.Ordinal));
        Assert.True(index >= 0, run.Output);
        Assert.Equal(severity != "ok", run.Lines[index + 1].StartsWith("         to do: ", StringComparison.Ordinal));
        Assert.Equal(run.Lines.Any(line => line.StartsWith("error", StringComparison.Ordinal)) ? 1 : 0, run.ExitCode);
    }

    private Task<IReadOnlyList<Finding>> CheckAsync(TimeProvider time) =>
        new OverlaybdCheck(Settings, new Uri($"http://127.0.0.1:{Port}"), time).RunAsync(TestContext.Current.CancellationToken);

    private Task WriteAsync(string address) => File.WriteAllTextAsync(Settings, $"{{\"p2pConfig\": {{\"enable\": true, \"address\": \"{address}\"}}}}");

    private Task<CommandRun> RunAsync(params string[] options) =>
        CommandRun.OfAsync(["doctor", "--check", "overlaybd", "--overlaybd-file", Settings, "--facade", $"http://127.0.0.1:{Port}", .. options]);
}
