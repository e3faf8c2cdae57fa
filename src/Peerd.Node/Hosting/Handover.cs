using Microsoft.Extensions.Options;
using Peerd.Node.Directory;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Storage;

namespace Peerd.Node.Hosting;

/// <summary>
/// How one process of the node follows another without a read that fails. The new one waits in line for the cache
/// directory (<see cref="CacheLocks"/>); the old one lets go of it and serves on what it knows to be there; the new one
/// listens beside it and gets all new connections from then on; the old one sends its peers and clients away, one answer
/// each, and stops when it is told to.
/// </summary>
internal sealed partial class Handover(
    IOptions<HandoverOptions> options,
    CacheLocks locks,
    IServiceProvider services,
    Listeners listeners,
    MeshDrain mesh,
    StopSignals signals,
    TimeProvider time,
    ILogger<Handover> logger) : BackgroundService, IHostedLifecycleService
{
    /// <summary>How long a new process waits for the directory; longer than an old one needs to drain.</summary>
    internal static readonly TimeSpan Patience = TimeSpan.FromMinutes(1);

    /// <summary>How often the old process looks whether there is a new one.</summary>
    private static readonly TimeSpan LookInterval = TimeSpan.FromMilliseconds(250);

    internal static readonly TimeSpan TryInterval = TimeSpan.FromMilliseconds(20);

    /// <summary>How long a disk may take to finish the changes that are under way.</summary>
    private static readonly TimeSpan ReleaseTimeout = TimeSpan.FromSeconds(10);

    /// <summary>How long a process that is stopped serves on for a new one that is starting: its disk may be slow.</summary>
    public static readonly TimeSpan SuccessorTimeout = TimeSpan.FromMinutes(2);

    /// <summary>How long it waits for the next attempt when the new process is gone.</summary>
    public static readonly TimeSpan SuccessorPause = TimeSpan.FromSeconds(20);

    /// <summary>A client that has said nothing for so long has nothing on its way.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromSeconds(1);

    private volatile bool _isSucceeded;
    private int _running;
    private long _lastRequest;

    /// <summary>Another process of this node was running when this one was started.</summary>
    public bool HasPredecessor { get; private set; }

    /// <summary>
    /// Waits until the process that runs already, if there is one, has let go of the cache directory. Before anything is started.
    /// </summary>
    /// <exception cref="CacheInUseException">It does not let go: it may be none that hands over.</exception>
    public async Task TakeOverAsync(CancellationToken cancellationToken)
    {
        if (!options.Value.Enabled || !IsTaken())
        {
            return;
        }

        HasPredecessor = true;
        Log.Waiting(logger);
        var start = time.GetTimestamp();
        while (!locks.TryQueue() || IsTaken())
        {
            if (time.GetElapsedTime(start) > Patience)
            {
                locks.Dispose();
                throw new CacheInUseException(services.GetRequiredService<IOptions<CacheOptions>>().Value.Directory);
            }

            await Task.Delay(TryInterval, time, cancellationToken);
        }
    }

    /// <summary>Counts the requests of local clients, and ends their connections once another process serves.</summary>
    public async Task LinkAsync(HttpContext context, RequestDelegate next)
    {
        if (!options.Value.Enabled || Listeners.Of(context) == ListenerKind.Mesh)
        {
            await next(context);
            return;
        }

        Interlocked.Increment(ref _running);
        if (_isSucceeded)
        {
            context.Response.Headers.Connection = "close";
        }

        try
        {
            await next(context);
        }
        finally
        {
            Volatile.Write(ref _lastRequest, time.GetTimestamp());
            Interlocked.Decrement(ref _running);
        }
    }

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>All services are started, and the listeners listen.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        if (options.Value.Enabled)
        {
            listeners.PreferTheNewest();
            locks.LeaveQueue();
        }

        return Task.CompletedTask;
    }

    /// <summary>Before the listeners close: clients that were connected are served until they had their answers.</summary>
    public async Task StoppingAsync(CancellationToken cancellationToken)
    {
        if (!options.Value.Enabled || !(_isSucceeded || locks.IsSomebodyQueueing(whenUnknown: false)))
        {
            signals.Drain();
            return;
        }

        try
        {
            // Nobody else serves until then.
            var isSucceeded = await IsSucceededInTimeAsync(cancellationToken);
            signals.Drain();
            if (!isSucceeded)
            {
                Log.NotAwaited(logger);
                return;
            }

            var start = time.GetTimestamp();
            while (time.GetElapsedTime(start) < options.Value.DrainTimeValue
                && (Volatile.Read(ref _running) > 0 || time.GetElapsedTime(Volatile.Read(ref _lastRequest)) < Quiet))
            {
                await Task.Delay(TryInterval, time, cancellationToken);
            }
        }
        catch (OperationCanceledException)
        {
            signals.Drain();
            Log.NotAwaited(logger);
        }
    }

    public Task StoppedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        if (!options.Value.Enabled)
        {
            return;
        }

        var cache = services.GetRequiredService<PieceCache>();
        using var timer = new PeriodicTimer(LookInterval, time);
        while (await timer.WaitForNextTickAsync(stoppingToken))
        {
            try
            {
                await LookAsync(cache, stoppingToken);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                Log.Failed(logger, e.Message);
            }
        }
    }

    private async Task<bool> IsSucceededInTimeAsync(CancellationToken cancellationToken)
    {
        var start = time.GetTimestamp();
        var seen = start;
        while (!_isSucceeded)
        {
            if (locks.IsSomebodyQueueing(whenUnknown: false))
            {
                seen = time.GetTimestamp();
            }

            if (time.GetElapsedTime(start) >= SuccessorTimeout || time.GetElapsedTime(seen) >= SuccessorPause)
            {
                return false;
            }

            await Task.Delay(TryInterval, time, cancellationToken);
        }

        return true;
    }

    private async Task LookAsync(PieceCache cache, CancellationToken cancellationToken)
    {
        var isWanted = locks.IsSomebodyQueueing();
        if (!cache.IsReleased)
        {
            // One that is still before this one goes first: two at a time listen, not three.
            if (isWanted && !locks.HasFormer())
            {
                await ReleaseAsync(cache, cancellationToken);
            }
        }
        else if (!isWanted && cache.TryTakeBack())
        {
            _isSucceeded = false;
            mesh.Return();
            Log.TakenBack(logger);
        }
        else if (!isWanted && !_isSucceeded)
        {
            _isSucceeded = true;
            mesh.Leave();
            Log.Succeeded(logger);
        }
    }

    private async Task ReleaseAsync(PieceCache cache, CancellationToken cancellationToken)
    {
        await services.GetRequiredService<TagFile>().SaveNowAsync();
        await services.GetRequiredService<IMembershipSource>().KeepAsync();
        using var timeout = new CancellationTokenSource(ReleaseTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await cache.ReleaseAsync(either.Token);
            Log.Released(logger);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            Log.Failed(logger, $"the disk has not finished a change in {ReleaseTimeout.TotalSeconds:0} s");
        }
    }

    // A directory that cannot be made is nobody's; the cache says what is wrong with it.
    private bool IsTaken()
    {
        try
        {
            return !locks.TryOwn();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Nobody can say whether there is another process: it would be beside this one at the same ports.
            HasPredecessor = true;
            return false;
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Another process of this node is running: waiting until it hands over")]
        public static partial void Waiting(ILogger logger);

        [LoggerMessage(2, LogLevel.Information, "A new process of this node is starting: it has the cache directory now, and this one only reads there")]
        public static partial void Released(ILogger logger);

        [LoggerMessage(3, LogLevel.Information, "A new process of this node serves: this one sends its clients and peers there, and waits to be stopped")]
        public static partial void Succeeded(ILogger logger);

        [LoggerMessage(4, LogLevel.Warning, "The new process of this node is gone: this one goes on")]
        public static partial void TakenBack(ILogger logger);

        [LoggerMessage(5, LogLevel.Warning, "The cache directory was not handed over; the next attempt follows: {Reason}")]
        public static partial void Failed(ILogger logger, string reason);

        [LoggerMessage(6, LogLevel.Warning, "Stopped although the new process of this node does not serve yet")]
        public static partial void NotAwaited(ILogger logger);
    }
}
