using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Peerd.Node.Hosting;
using Peerd.Node.Mesh;
using Peerd.Node.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>A process that is stopped while another one of its node is starting, by a clock that the test moves.</summary>
public sealed class HandoverTests : IDisposable
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-handover-");
    private readonly ArmedTime _time = new();
    private readonly FakeLogger<Handover> _log = new();
    private readonly ServiceProvider _services = new ServiceCollection().BuildServiceProvider();
    private readonly CacheLocks _locks;
    private readonly CacheLocks _next;
    private readonly MeshDrain _mesh;
    private readonly StopSignals _signals;
    private readonly Handover _handover;

    public HandoverTests()
    {
        var options = Options.Create(new HandoverOptions { Enabled = true });
        _locks = new CacheLocks(_folder.FullName);
        _next = new CacheLocks(_folder.FullName);
        _mesh = new MeshDrain(_time);
        _signals = new StopSignals(_mesh, options, _time);
        _handover = New(options.Value);
        Assert.True(_locks.TryOwn());
    }

    public void Dispose()
    {
        _handover.Dispose();
        _signals.Dispose();
        _mesh.Dispose();
        _next.Dispose();
        _locks.Dispose();
        _services.Dispose();
        _folder.Delete(recursive: true);
    }

    // Kubernetes takes the new pod for available, for this process answers its probes.
    [Fact]
    public async Task Stopping_NewProcessStartsSlowly_ServesOnUntilItIsGoneForLongOrTheTimeIsOver()
    {
        Assert.True(_next.TryQueue());
        var stopping = await StopAsync();
        await PassAsync(Handover.SuccessorTimeout - (2 * Handover.SuccessorPause), stopping);
        Assert.False(stopping.IsCompleted);

        // It is a member of the mesh as before.
        Assert.Equal((false, false, false), (_signals.IsStopping, _mesh.Current.Leaving.IsCancellationRequested, _mesh.Current.Left.IsCancellationRequested));

        _next.LeaveQueue();
        await PassAsync(Handover.SuccessorPause - Second, stopping);
        Assert.False(stopping.IsCompleted);
        Assert.True(_next.TryQueue());
        await PassAsync(Handover.SuccessorPause, stopping);
        Assert.False(stopping.IsCompleted);

        await PassAsync(Second, stopping);
        await stopping;
        Assert.True(_signals.IsStopping);
        Assert.Single(_log.Collector.GetSnapshot(), record => record.Message.Contains("does not serve yet", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Stopping_NewProcessIsGone_WaitsForTheNextOneNotForLong()
    {
        Assert.True(_next.TryQueue());
        var stopping = await StopAsync();
        await PassAsync(Second, stopping);
        _next.LeaveQueue();

        await PassAsync(Handover.SuccessorPause + Second, stopping);

        await stopping.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);
    }

    [Fact]
    public Task Stopping_Nobody_IsNotWaitedFor()
    {
        var stopping = _handover.StoppingAsync(CancellationToken.None);

        Assert.True(stopping.IsCompleted);
        return stopping;
    }

    // The new one reads the list as soon as it has the directory.
    [Fact]
    public async Task Release_NewProcessWaits_MembersAreSavedBeforeIt()
    {
        var cache = Path.Combine(_folder.FullName, "cache");
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Handover:Enabled=true"], cache: cache);
        bool? wasReleased = null;
        mesh.KeepMembers = () => wasReleased = mesh.Node.Cache.IsReleased;
        using var next = new CacheLocks(cache);

        Assert.True(next.TryQueue());
        await Wait.UntilAsync(() => mesh.Node.Cache.IsReleased, "the new process gets the directory");

        Assert.False(wasReleased);
    }

    private Handover New(HandoverOptions options) => new(Options.Create(options), _locks, _services, new Listeners(), _mesh, _signals, _time, _log);

    private async Task<Task> StopAsync()
    {
        var stopping = _handover.StoppingAsync(CancellationToken.None);
        await _time.ArmedAsync(Handover.TryInterval);
        return stopping;
    }

    // In steps, after each of which it has looked.
    private async Task PassAsync(TimeSpan time, Task stopping)
    {
        for (var passed = TimeSpan.Zero; passed < time && !stopping.IsCompleted; passed += Second)
        {
            _time.Advance(Second);
            await Task.WhenAny(stopping, _time.ArmedAsync(Handover.TryInterval));
        }
    }
}
