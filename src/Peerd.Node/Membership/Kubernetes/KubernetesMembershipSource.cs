using System.Text.Json;
using System.Threading.Channels;
using Polly;
using Polly.Retry;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>
/// The members are the nodes of a Kubernetes cluster. Nodes that cannot be asked for keep the last list, also over a restart.
/// Thread-safe.
/// </summary>
internal sealed partial class KubernetesMembershipSource : BackgroundService, IMembershipSource
{
    /// <summary>By then the longest pause is reached.</summary>
    private const int MostDoublings = 10;

    /// <summary>Nodes come and go in groups: the list is published this long after the first change.</summary>
    internal static readonly TimeSpan SettleTime = TimeSpan.FromSeconds(1);

    /// <summary>A watch lasts no longer.</summary>
    internal static readonly TimeSpan WatchTime = TimeSpan.FromMinutes(5);

    /// <summary>A watch that has told nothing and ends sooner has not worked, whatever its end looks like.</summary>
    internal static readonly TimeSpan LeastLasting = TimeSpan.FromSeconds(1);

    /// <summary>From the beginning of a watch to that of the next one it takes as long, less half at most, unless it was asked for less.</summary>
    internal static readonly TimeSpan WatchInterval = TimeSpan.FromSeconds(10);

    /// <summary>No pause between two attempts is longer.</summary>
    internal static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    /// <summary>When less is left until all nodes are to be listed, they are listed.</summary>
    private static readonly TimeSpan ShortestWatch = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(500);

    private readonly NodeApi _api;
    private readonly NodeTable _table;
    private readonly KeptMembers _kept;
    private readonly Member _self;
    private readonly TimeSpan _resync;
    private readonly Random _random;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Latest<MemberList> _lists;
    private readonly Lock _lock = new();
    private readonly Channel<bool> _changed = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly ResiliencePipeline _retries;
    private string? _version;
    private TimeSpan _listAt;
    private bool _isLost;
    private volatile bool _isSynced;
    private bool _saidThatSelfIsMissing;

    /// <param name="api">Where the nodes are read.</param>
    /// <param name="options">Checked options.</param>
    /// <param name="file">Has the last list.</param>
    /// <param name="self">This node: alone as long as nothing else is known.</param>
    /// <param name="random">Of its own for each node, so that not all of them ask at the same time. Not for others meanwhile.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Where failures are told.</param>
    public KubernetesMembershipSource(NodeApi api, MembershipOptions options, MembersFile file, Member self, Random random, TimeProvider time, ILogger<KubernetesMembershipSource> logger)
    {
        _api = api;
        _self = self;
        _random = random;
        _time = time;
        _logger = logger;
        _resync = options.ResyncValue;
        _kept = new KeptMembers(file, time);
        var saved = file.Load() is { Members.Count: > 0 } list ? list : null;
        _table = new NodeTable(self.Address.Port, options.NotReadyGraceValue, saved);
        _isSynced = saved is not null;
        _lists = new Latest<MemberList>(saved ?? new MemberList([self]));
        _retries = new ResiliencePipelineBuilder { TimeProvider = time }
            .AddRetry(new RetryStrategyOptions
            {
                MaxRetryAttempts = int.MaxValue,
                DelayGenerator = arguments => ValueTask.FromResult<TimeSpan?>(PauseAfter(arguments.AttemptNumber)),
                ShouldHandle = arguments => ValueTask.FromResult(arguments.Outcome.Exception is { } failure && !arguments.Context.CancellationToken.IsCancellationRequested && IsPassing(failure)),
                OnRetry = arguments =>
                {
                    Lost(arguments.Outcome.Exception!);
                    return ValueTask.CompletedTask;
                },
            })
            .Build();
    }

    public IAsyncEnumerable<MemberList> WatchAsync(CancellationToken cancellationToken) => _lists.WatchAsync(cancellationToken);

    public bool IsSynced => _isSynced;

    public Task KeepAsync() => _kept.SaveNowAsync();

    public override void Dispose()
    {
        _api.Dispose();
        base.Dispose();
    }

    // None of them ends by itself: were the others to go on without it, the members would stay for ever what they are.
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken);
        Task[] parts = [FollowAsync(ended.Token), PublishAsync(ended.Token), _kept.RunAsync(ended.Token)];
        try
        {
            await await Task.WhenAny(parts);
        }
        finally
        {
            await ended.CancelAsync();
            await Task.WhenAll(parts).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    // Whatever it is: who stopped to look would keep the members of that moment for ever.
    private static bool IsPassing(Exception failure) => failure is not OutOfMemoryException;

    private TimeSpan Now => _time.GetElapsedTime(0, _time.GetTimestamp());

    private async Task FollowAsync(CancellationToken stoppingToken)
    {
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                // Each round ends well or is repeated, more and more slowly.
                await _retries.ExecuteAsync(static async (source, token) => await source.FollowOnceAsync(token), this, stoppingToken);
            }
            catch (Exception e) when (IsPassing(e))
            {
                // What was not repeated, because the node stops, may have failed by something else.
                stoppingToken.ThrowIfCancellationRequested();
                throw;
            }
        }
    }

    private async ValueTask FollowOnceAsync(CancellationToken cancellationToken)
    {
        if (_version is null || _listAt - Now < ShortestWatch)
        {
            await ListAsync(cancellationToken);
        }

        var (started, length, pause) = (_time.GetTimestamp(), Shorter(SomeOf(WatchTime, least: 0.8), _listAt - Now), TimeSpan.Zero);
        try
        {
            if (!await WatchAsync(_version!, length, cancellationToken) && _time.GetElapsedTime(started) < LeastLasting)
            {
                throw new IOException("the API server ends watches as soon as they begin");
            }
        }
        catch (Exception e) when (e is WatchExpiredException or JsonException)
        {
            // What was missed cannot be told otherwise.
            _version = null;
            throw;
        }
        catch (IOException e) when (_time.GetElapsedTime(started) >= LeastLasting)
        {
            // It has worked until now: no reason to wait for longer each time.
            Lost(e);
            pause = FirstPause * _random.NextDouble();
        }

        // Something on the way may end each watch early, whatever it has told: one that was as long as it was to be is followed at once.
        var early = Shorter(length, SomeOf(WatchInterval, least: 0.5)) - _time.GetElapsedTime(started);
        if (early > pause)
        {
            pause = early;
        }

        await Task.Delay(pause, _time, cancellationToken);
    }

    private async Task ListAsync(CancellationToken cancellationToken)
    {
        var (nodes, version) = await _api.ListAsync(cancellationToken);
        _version = version;
        _listAt = Now + SomeOf(_resync, least: 0.9);
        Found();
        Change(table =>
        {
            table.ReplaceAll(nodes, Now);
            return true;
        });
    }

    /// <summary>False when it ended before it told anything.</summary>
    private async Task<bool> WatchAsync(string version, TimeSpan length, CancellationToken cancellationToken)
    {
        var hasTold = false;
        await foreach (var change in _api.WatchAsync(version, length, cancellationToken))
        {
            hasTold = true;
            Found();
            _version = change.ResourceVersion;
            if (change.Node is { } node)
            {
                Change(table => table.Set(node, Now));
            }
            else if (change.Gone is { } gone)
            {
                Change(table => table.Remove(gone));
            }
        }

        return hasTold;
    }

    // Not all nodes at the same time: each list and each watch costs the API server something.
    private TimeSpan SomeOf(TimeSpan whole, double least) => whole * (least + ((1 - least) * _random.NextDouble()));

    // The longest pauses are by chance, too: nodes that have lost the API server together are not to find it together.
    private TimeSpan PauseAfter(int failures) => SomeOf(Shorter(FirstPause * Math.Pow(2, Math.Min(failures, MostDoublings)), LongestPause), least: 0.5);

    private static TimeSpan Shorter(TimeSpan one, TimeSpan other) => one < other ? one : other;

    // What changes nothing costs nothing but its reading: no list is made, compared and thrown away.
    private void Change(Func<NodeTable, bool> change)
    {
        bool hasChanged;
        lock (_lock)
        {
            hasChanged = change(_table);
        }

        if (hasChanged)
        {
            _changed.Writer.TryWrite(item: true);
        }
    }

    private async Task PublishAsync(CancellationToken stoppingToken)
    {
        TimeSpan? nextLeave = null;
        while (true)
        {
            if (await ChangesAsync(nextLeave, stoppingToken))
            {
                await Task.Delay(SettleTime, _time, stoppingToken);
                _changed.Reader.TryRead(out _);
            }

            MemberList members;
            lock (_lock)
            {
                members = _table.MembersAt(Now);
                nextLeave = _table.NextLeave(Now);
            }

            if (members.Members.Count == 0)
            {
                // More likely a wrong selector than a cluster without nodes, on one of which this runs.
                Log.Nobody(_logger, _table.Count);
                continue;
            }

            TellIfSelfIsMissing(members);
            if (!members.Equals(_lists.Current))
            {
                _kept.Keep(members);
                _lists.Publish(members);
            }

            _isSynced = true;
        }
    }

    /// <summary>True when something has changed, false when a node is about to leave.</summary>
    private async Task<bool> ChangesAsync(TimeSpan? nextLeave, CancellationToken stoppingToken)
    {
        if (nextLeave is not { } leave)
        {
            return await _changed.Reader.ReadAsync(stoppingToken);
        }

        using var due = new CancellationTokenSource(leave > Now ? leave - Now : TimeSpan.Zero, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, due.Token);
        try
        {
            return await _changed.Reader.ReadAsync(either.Token);
        }
        catch (OperationCanceledException) when (!stoppingToken.IsCancellationRequested)
        {
            return false;
        }
    }

    private void TellIfSelfIsMissing(MemberList members)
    {
        var isMissing = members.IndexOf(_self.Name) < 0;
        if (isMissing && !_saidThatSelfIsMissing)
        {
            Log.SelfIsMissing(_logger, _self.Name);
        }

        _saidThatSelfIsMissing = isMissing;
    }

    // One line when the API server is lost and one when it is back.
    private void Lost(Exception failure)
    {
        if (failure is not WatchExpiredException && !_isLost)
        {
            _isLost = true;
            Log.Lost(_logger, failure is OperationCanceledException ? "no answer in time" : failure.Message);
        }
    }

    private void Found()
    {
        if (_isLost)
        {
            _isLost = false;
            Log.Back(_logger);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(10, LogLevel.Warning, "The API server cannot be asked for nodes, and the last list of members stays: {Reason}")]
        public static partial void Lost(ILogger logger, string reason);

        [LoggerMessage(11, LogLevel.Information, "The API server tells of nodes again")]
        public static partial void Back(ILogger logger);

        [LoggerMessage(12, LogLevel.Warning, "None of the {Count} nodes that the API server tells of is a member, and the last list stays: see the selector and the label that excludes")]
        public static partial void Nobody(ILogger logger, int count);

        [LoggerMessage(13, LogLevel.Warning, "This node, '{Name}', is not among the members: it reads from the mesh but owns nothing. Is it excluded, not ready, not chosen by Peerd:Membership:Selector, or is Peerd:Node:Name not its name?")]
        public static partial void SelfIsMissing(ILogger logger, string name);
    }
}
