using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Cli;
using Peerd.Node.Hosting;
using Peerd.Tests.Cli;

namespace Peerd.Tests.Hosting;

/// <summary>A process tells by its own socket how it is, to whoever asks by <c>peerd probe</c>.</summary>
public sealed class ProbeSocketTests : IDisposable
{
    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-probe-");

    private string Path => System.IO.Path.Combine(_folder.FullName, "probe");

    private string[] Settings => [$"--Peerd:Handover:ProbeSocket={Path}"];

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Probe_Node_SaysWhatReadyzSays()
    {
        await using var mesh = await TestMesh.StartAsync(settings: Settings);
        Assert.Equal(Success, await CommandRun.OfAsync("probe", Path));
        await mesh.Node.WaitUntilReadyAsync();
        Assert.Equal(Success, await CommandRun.OfAsync("probe", "--ready", Path));

        // It lives, and would not serve.
        mesh.Leave(mesh.Node.Name);
        await mesh.Node.WaitForMembersAsync(0);

        using var client = new HttpClient { BaseAddress = mesh.Node.Metrics };
        using var readyz = await client.GetAsync("/readyz", TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.ServiceUnavailable, readyz.StatusCode);
        Assert.Equal(Failure(await readyz.Content.ReadAsStringAsync(TestContext.Current.CancellationToken)), await CommandRun.OfAsync("probe", Path, "--ready"));
        Assert.Equal(Success, await CommandRun.OfAsync("probe", Path));
    }

    // A container that starts again finds what the process before it, which died without a word, has left in the folder of the pod.
    [Fact]
    public async Task Probe_SocketOfADeadProcess_IsNotAnsweredUntilTheNextListens()
    {
        Assert.Equal(Failure($"nobody answers at {Path}: there is no socket\n"), await CommandRun.OfAsync("probe", Path));
        using var dead = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        dead.Bind(new UnixDomainSocketEndPoint(Path));
        Assert.Equal(Failure($"nobody answers at {Path}: Connection refused\n"), await CommandRun.OfAsync("probe", Path));

        await using (await TestMesh.StartAsync(settings: Settings))
        {
            Assert.Equal(Success, await CommandRun.OfAsync("probe", Path));
        }

        Assert.Equal(ExitCode.Failure, (await CommandRun.OfAsync("probe", Path)).ExitCode);
    }

    // The kernel takes the connections of a process that hangs.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Probe_ProcessHangs_IsNotWaitedForLong(bool isReady)
    {
        using var hanging = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        hanging.Bind(new UnixDomainSocketEndPoint(Path));
        hanging.Listen();

        Assert.Equal(Failure("it has not answered within 3 s\n"), await CommandRun.OfAsync(isReady ? ["probe", "--ready", Path] : ["probe", Path]));
    }

    [Fact]
    public async Task Probe_ProcessEndsMeanwhile_Fails()
    {
        using var ending = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        ending.Bind(new UnixDomainSocketEndPoint(Path));
        ending.Listen();
        var probe = CommandRun.OfAsync("probe", Path);
        using (var client = await ending.AcceptAsync(TestContext.Current.CancellationToken))
        {
            await client.ReceiveAsync(new byte[1], TestContext.Current.CancellationToken);
        }

        Assert.Equal(Failure("it has ended without an answer\n"), await probe);
    }

    [Fact]
    public async Task Probe_OthersConnectAndSayNothing_IsAnsweredWhenTheyAreLeft()
    {
        var time = new FakeTimeProvider();
        await using var mesh = await TestMesh.StartAsync(settings: Settings, time: time);
        var silent = Enumerable.Range(0, 8).Select(_ => new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)).ToList();
        try
        {
            silent.ForEach(socket => socket.Connect(new UnixDomainSocketEndPoint(Path)));
            await Wait.UntilAsync(
                async () =>
                {
                    time.Advance(TimeSpan.FromSeconds(5));
                    return await CommandRun.OfAsync("probe", Path) == Success;
                },
                "the probe is answered");
        }
        finally
        {
            silent.ForEach(socket => socket.Dispose());
        }
    }

    [Fact]
    public async Task Start_SocketCannotBeMade_IsToldAndServes()
    {
        var missing = System.IO.Path.Combine(_folder.FullName, "none", "probe");
        await using var mesh = await TestMesh.StartAsync(settings: [$"--Peerd:Handover:ProbeSocket={missing}"]);

        await mesh.Node.WaitUntilReadyAsync();
        Assert.Contains(mesh.Node.Logs.GetSnapshot(), record => record.Level == LogLevel.Error && record.Message.StartsWith($"Probes at {missing} are not answered: ", StringComparison.Ordinal));
        Assert.Equal(ExitCode.Failure, (await CommandRun.OfAsync("probe", missing)).ExitCode);
    }

    [Theory]
    [InlineData("run/probe")]
    [InlineData("/run/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")]
    public async Task ProbeSocket_NoPathOfASocket_IsRefused(string path)
    {
        var fault = Assert.Single(new HandoverOptionsValidator().Validate(name: null, new HandoverOptions { ProbeSocket = path }).Failures!);
        Assert.Equal($"Peerd:Handover:ProbeSocket is '{path}'; allowed: an absolute path of at most 107 bytes, or empty", fault);
        Assert.True(new HandoverOptionsValidator().Validate(name: null, new HandoverOptions { ProbeSocket = "/" + path[2..] }).Succeeded);

        Assert.Equal(Failure($"'{path}' is no path of a socket; allowed: an absolute path of at most 107 bytes\n"), await CommandRun.OfAsync("probe", path));
    }

    private static CommandRun Success { get; } = new(ExitCode.Success, string.Empty, string.Empty);

    private static CommandRun Failure(string error) => new(ExitCode.Failure, string.Empty, $"peerd: {error}");
}
