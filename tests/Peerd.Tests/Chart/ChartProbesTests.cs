using System.Globalization;
using System.Net;
using k8s.Models;
using Peerd.Contracts;
using Peerd.Node.Cli;
using Peerd.Node.Hosting;
using Peerd.Node.Membership;
using Peerd.Tests.Cli;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Chart;

/// <summary>The probes of the pod ask for what the program answers, where it listens, and wait for as long as it may take.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartProbesTests
{
    private const int Contents = 10_000;

    // Two reads of a disk that turns.
    private static readonly TimeSpan SlowRead = TimeSpan.FromMilliseconds(20);

    // What the old process of the node cannot answer.
    [Fact]
    public async Task Startup_Command_IsOneOfTheProgramAndAsksForItsFile()
    {
        var manifests = await Manifests.OfAsync();
        var command = manifests.Server.StartupProbe.Exec.Command;
        var file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());

        Assert.Contains($"ENTRYPOINT [\"{command[0]}\"]", await File.ReadAllLinesAsync(Path.Combine(LayoutTests.RepositoryRoot(), "Dockerfile"), TestContext.Current.CancellationToken));
        Assert.Equal(manifests.Settings[$"{HandoverOptions.Section}:{nameof(HandoverOptions.StartedFile)}"], command[^1]);
        Assert.Contains(manifests.Server.VolumeMounts, mount => mount.Name == "run" && mount.MountPath == Path.GetDirectoryName(command[^1]) && mount.ReadOnlyProperty is not true);
        Assert.NotNull(manifests.Node.Spec.Template.Spec.Volumes.Single(volume => volume.Name == "run").EmptyDir);
        Assert.Equal(ExitCode.Failure, (await CommandRun.OfAsync([.. command.Skip(1).SkipLast(1), file])).ExitCode);
        await File.WriteAllTextAsync(file, string.Empty, TestContext.Current.CancellationToken);
        Assert.Equal(ExitCode.Success, (await CommandRun.OfAsync([.. command.Skip(1).SkipLast(1), file])).ExitCode);
        File.Delete(file);
    }

    [Fact]
    public async Task LivenessAndReadiness_Paths_AreAnsweredByTheNode()
    {
        var server = (await Manifests.OfAsync()).Server;
        await using var mesh = await TestMesh.StartAsync();
        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync(server.LivenessProbe.HttpGet.Path));
        await mesh.Node.WaitUntilReadyAsync();
        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync(server.ReadinessProbe.HttpGet.Path));

        // It lives, and would not serve.
        mesh.Leave(mesh.Node.Name);
        await mesh.Node.WaitForMembersAsync(0);

        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync(server.LivenessProbe.HttpGet.Path));
        Assert.Equal(HttpStatusCode.ServiceUnavailable, await mesh.Node.ProbeAsync(server.ReadinessProbe.HttpGet.Path));
    }

    [Theory]
    [InlineData("peerd.ports.metrics=30004")]
    [InlineData("peerd.ports.metrics=31004")]
    public async Task LivenessAndReadiness_AnyPort_IsThatOfTheMetrics(string set)
    {
        var manifests = await Manifests.OfAsync("--set", set);
        var port = ListenAddress.Parse(manifests.Settings["Peerd:Metrics:Listen"]!).Port.ToString(CultureInfo.InvariantCulture);

        Assert.EndsWith(port, set, StringComparison.Ordinal);
        Assert.All([manifests.Server.LivenessProbe, manifests.Server.ReadinessProbe], probe => Assert.Equal(port, probe.HttpGet.Port.Value));
        Assert.All([manifests.Server.LivenessProbe, manifests.Server.ReadinessProbe], probe => Assert.Null(probe.HttpGet.Host));
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
        Assert.True(TimeSpan.FromSeconds(server.ReadinessProbe.TimeoutSeconds!.Value) > OwnListeners.AnswerTime);
        Assert.True(server.ReadinessProbe.TimeoutSeconds <= server.ReadinessProbe.PeriodSeconds);

        // The old one is stopped when the new one has been ready for so long, as the documents say.
        Assert.Equal(15, manifests.Node.Spec.MinReadySeconds + server.ReadinessProbe.PeriodSeconds);
    }

    private static TimeSpan PatienceOf(V1Probe probe) => TimeSpan.FromSeconds(probe.PeriodSeconds!.Value * probe.FailureThreshold!.Value);
}
