using k8s.Models;
using Peerd.Contracts;
using Peerd.Node.Cli;
using Peerd.Node.Hosting;
using Peerd.Tests.Cli;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Chart;

/// <summary>The probes of the pod ask for what the program answers, and it alone, and wait for as long as it may take.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartProbesTests
{
    private const int Contents = 10_000;

    // Two reads of a disk that turns.
    private static readonly TimeSpan SlowRead = TimeSpan.FromMilliseconds(20);

    // At the ports, which both have during an upgrade, the other process of the node could answer.
    [Theory]
    [InlineData("peerd.logLevel=info")]
    [InlineData("peerd.mesh.tls.mode=generated,peerd.ports.metrics=31004,peerd.containerd.mount=false")]
    public async Task Commands_All_AskThisProcessAlone(string set)
    {
        var manifests = await Manifests.OfAsync("--set", set);
        const string Argument = $"--{HandoverOptions.Section}:{nameof(HandoverOptions.ProbeSocket)}=";
        var socket = Assert.Single(manifests.Server.Args, argument => argument.StartsWith(Argument, StringComparison.Ordinal))[Argument.Length..];
        var image = await File.ReadAllLinesAsync(Path.Combine(LayoutTests.RepositoryRoot(), "Dockerfile"), TestContext.Current.CancellationToken);

        Assert.All(ProbesOf(manifests.Server), probe =>
        {
            Assert.Equal((null, null, null), (probe.HttpGet, probe.TcpSocket, probe.Grpc));
            Assert.Contains($"ENTRYPOINT [\"{probe.Exec.Command[0]}\"]", image);
            Assert.Equal(socket, probe.Exec.Command[^1]);
        });
        // Pods of an earlier version of the chart read the ConfigMap, and what they do not know would end them.
        Assert.DoesNotContain(nameof(HandoverOptions.ProbeSocket), manifests.Get<V1ConfigMap>("peerd").Data["settings.json"], StringComparison.Ordinal);
        Assert.Contains(manifests.Server.VolumeMounts, mount => mount.Name == "run" && mount.MountPath == Path.GetDirectoryName(socket) && mount.ReadOnlyProperty is not true);
        Assert.NotNull(manifests.Node.Spec.Template.Spec.Volumes.Single(volume => volume.Name == "run").EmptyDir);
    }

    [Fact]
    public async Task Commands_Each_SaysHowTheNodeIs()
    {
        var probes = ProbesOf((await Manifests.OfAsync()).Server);
        var folder = System.IO.Directory.CreateTempSubdirectory("peerd-chart-test-");
        try
        {
            var socket = Path.Combine(folder.FullName, "probe");
            Assert.Equal((ExitCode.Failure, ExitCode.Failure, ExitCode.Failure), await AskAsync());
            await using var mesh = await TestMesh.StartAsync(settings: [$"--{HandoverOptions.Section}:{nameof(HandoverOptions.ProbeSocket)}={socket}"]);
            await mesh.Node.WaitUntilReadyAsync();
            Assert.Equal((ExitCode.Success, ExitCode.Success, ExitCode.Success), await AskAsync());

            // It lives, and would not serve.
            mesh.Leave(mesh.Node.Name);
            await mesh.Node.WaitForMembersAsync(0);
            Assert.Equal((ExitCode.Success, ExitCode.Success, ExitCode.Failure), await AskAsync());

            async Task<(int Startup, int Liveness, int Readiness)> AskAsync()
            {
                var runs = await Task.WhenAll(probes.Select(probe => CommandRun.OfAsync([.. probe.Exec.Command.Skip(1).SkipLast(1), socket])));
                return (runs[0].ExitCode, runs[1].ExitCode, runs[2].ExitCode);
            }
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Startup_Times_CoverTheLongestStartAndAreThoseOfTheDocuments()
    {
        var startup = (await Manifests.OfAsync()).Server.StartupProbe;

        Assert.True(PatienceOf(startup) >= Handover.Patience + (Contents * SlowRead), $"it is waited for {PatienceOf(startup)}");
        Assert.True(PatienceOf(startup) >= Handover.Patience + Handover.SuccessorTimeout, "an old process serves on for so long");
        Assert.Equal(5, PatienceOf(startup).TotalMinutes);
        Assert.Contains("waits for five minutes for that", await File.ReadAllTextAsync(Path.Combine(LayoutTests.RepositoryRoot(), "docs", "kubernetes.md"), TestContext.Current.CancellationToken), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_Times_FitTogether()
    {
        var manifests = await Manifests.OfAsync();
        var server = manifests.Server;
        Assert.True(Duration.TryParse(manifests.Settings[$"{HandoverOptions.Section}:{nameof(HandoverOptions.DrainTime)}"]!, out var drainTime));

        // Clients of a process that hangs have as long to end as those of another.
        Assert.All([server.StartupProbe, server.LivenessProbe], probe => Assert.True(TimeSpan.FromSeconds(probe.TerminationGracePeriodSeconds!.Value) > drainTime + NodeHost.StopReserve));
        Assert.True(PatienceOf(server.ReadinessProbe) < PatienceOf(server.LivenessProbe), "who does not answer is asked for nothing before it is ended");

        // What is answered in time is what the node has seen, also that it does not answer itself.
        Assert.True(ProbeCommand.Patience > OwnListeners.AnswerTime);
        Assert.All(ProbesOf(server), probe => Assert.True(TimeSpan.FromSeconds(probe.TimeoutSeconds!.Value) > ProbeCommand.Patience));
        Assert.All([server.LivenessProbe, server.ReadinessProbe], probe => Assert.True(probe.TimeoutSeconds <= probe.PeriodSeconds));

        // The old one is stopped when the new one has been ready for so long, as the documents say.
        Assert.Equal(15, manifests.Node.Spec.MinReadySeconds + server.ReadinessProbe.PeriodSeconds);
    }

    /// <summary>Startup, liveness, readiness.</summary>
    private static V1Probe[] ProbesOf(V1Container server) => [server.StartupProbe, server.LivenessProbe, server.ReadinessProbe];

    private static TimeSpan PatienceOf(V1Probe probe) => TimeSpan.FromSeconds(probe.PeriodSeconds!.Value * probe.FailureThreshold!.Value);
}
