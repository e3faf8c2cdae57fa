using System.Globalization;
using System.Text.RegularExpressions;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>
/// What the source of a cluster's members does as time passes, by a clock that the test moves: readiness, pauses, limits of answers
/// that do not come, connections that break.
/// </summary>
public sealed class KubernetesMembershipTimeTests : IAsyncLifetime
{
    private static readonly TimeSpan Settle = KubernetesMembershipSource.SettleTime;
    private static readonly TimeSpan Longest = KubernetesMembershipSource.LongestPause;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan Well = TimeSpan.FromSeconds(10);

    private readonly MembershipOptions _options = new() { StateFile = string.Empty };
    private readonly ArmedTime _time = new();
    private readonly FakeLogger<KubernetesMembershipSource> _log = new();
    private FakeApiServer _api = null!;

    public async ValueTask InitializeAsync()
    {
        _api = await FakeApiServer.StartAsync();
        _api.Set("a", "10.0.0.1");
        _api.Set("b", "10.0.0.2");
    }

    public ValueTask DisposeAsync() => _api.DisposeAsync();

    [Fact]
    public async Task Watch_NotReadyForLongerThanTheGrace_LeavesAndComesBack()
    {
        var grace = _options.NotReadyGraceValue;
        await using var source = await ListedAsync();

        _api.Set("b", "10.0.0.2", isReady: false);
        await _time.PassAsync(Settle);
        await _time.ArmedAsync(grace - Settle);
        _time.Advance(grace - Settle - Tick);
        Assert.Equal(["a", "b"], NamesOf(await source.FirstAsync()));
        _time.Advance(Tick);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(["a"]));

        _api.Set("b", "10.0.0.2");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(["a", "b"]));
    }

    [Fact]
    public async Task Watch_NotReadyForAMoment_Stays()
    {
        await using var source = await ListedAsync();
        var before = source.Lists.Count;

        _api.Set("b", "10.0.0.2", isReady: false);
        await _time.PassAsync(Settle);
        await _time.ArmedAsync(_options.NotReadyGraceValue - Settle);
        _api.Set("b", "10.0.0.2");
        await _time.PassAsync(Settle);
        _time.Advance(_options.NotReadyGraceValue * 1.5);
        _api.Set("c", "10.0.0.3");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(["a", "b", "c"]));

        Assert.Equal(before + 1, source.Lists.Count);
    }

    [Fact]
    public async Task Watch_ManyChangesAtOnce_AreOneNewList()
    {
        await using var source = await ListedAsync();
        var before = source.Lists.Count;

        for (var i = 0; i < 50; i++)
        {
            _api.Set($"node-{i:00}", $"10.1.0.{i}");
        }

        await BookmarkAsync();
        await _time.ArmedAsync(Settle);
        Assert.Equal(before, source.Lists.Count);
        _time.Advance(Settle);
        await source.UntilAsync(list => list.Members.Count == 52);

        Assert.Equal(before + 1, source.Lists.Count);
    }

    [Fact]
    public async Task Watch_Bookmark_IsWhereTheNextWatchBegins()
    {
        await using var source = await ListedAsync();

        await BookmarkAsync();

        Assert.Equal(_api.Nodes.Version, NumberIn("resourceVersion", _api.Watches[^1]));
        Assert.Equal(1, _api.Lists);
    }

    [Fact]
    public async Task Watch_UntilTheResync_IsNoLongerThanWhatIsLeft()
    {
        _options.Resync = "1m";
        await using var source = await ListedAsync();
        await WatchesAsync(1);
        Assert.InRange(NumberIn("timeoutSeconds", _api.Watches[0]), 54, 60);

        _time.Advance(TimeSpan.FromSeconds(40));
        await _api.EndWatchesAsync();
        await WatchesAsync(2);
        Assert.InRange(NumberIn("timeoutSeconds", _api.Watches[1]), 14, 20);
        Assert.Equal(1, _api.Lists);

        _time.Advance(TimeSpan.FromSeconds(20));
        await _api.EndWatchesAsync();
        await WatchesAsync(3);
        Assert.Equal(2, _api.Lists);
    }

    [Fact]
    public async Task Watch_ResyncIsFarAway_LastsForSomeMinutes()
    {
        await using var source = await ListedAsync();
        await WatchesAsync(1);

        Assert.InRange(NumberIn("timeoutSeconds", _api.Watches[0]), 240, 300);
    }

    [Fact]
    public async Task Watch_EndsAtOnceEachTime_IsAskedForMoreAndMoreSeldom()
    {
        _api.EndsWatchesAtOnce = true;
        await using var source = await StartAsync();
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.Members.Count == 2);

        var pauses = await PausesAsync(12);

        AssertGrow(pauses);
        // One between two pauses, and maybe one before the first and one behind the last.
        Assert.InRange(_api.Watches.Count, 12, 14);
        Assert.Equal(1, _api.Lists);
        Assert.Contains("as soon as they begin", Assert.Single(Warnings()).Message, StringComparison.Ordinal);

        _api.EndsWatchesAtOnce = false;
        _api.Set("c", "10.0.0.3");
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 3);
    }

    [Fact]
    public async Task List_FailsEachTime_IsAskedForMoreAndMoreSeldomUntilItWorks()
    {
        _api.Status = 500;
        await using var source = await StartAsync();

        AssertGrow(await PausesAsync(12));

        // Once it works, the next failure is the first one.
        _api.Status = 0;
        await PassUntilAsync(() => _api.Watches.Count > 0 && source.Lists[^1].Members.Count == 2);
        _time.Advance(Well);
        _time.Forget();
        _api.Status = 500;
        await _api.EndWatchesAsync();
        Assert.All(await PausesAsync(2), pause => Assert.True(pause < Longest / 6, $"{pause}"));
    }

    [Fact]
    public async Task List_FailsForTwoNodes_TheirPausesDiffer()
    {
        _api.Status = 500;
        var pauses = new List<IReadOnlyList<TimeSpan>>();
        foreach (var seed in new[] { 1, 2 })
        {
            await using var source = await StartAsync(seed);
            pauses.Add(await PausesAsync(4));
        }

        Assert.Empty(pauses[0].Intersect(pauses[1]));
    }

    [Fact]
    public async Task Watch_ConnectionIsReset_GoesOnSoonFromWhereItStood()
    {
        await using var source = await ListedAsync();
        for (var i = 1; i <= 8; i++)
        {
            await WatchesAsync(i);
            _time.Advance(Well);
            await _api.ResetWatchesAsync();

            // As soon as after the first time: each of them has worked.
            _time.Advance(await _time.ArmedAsync(due => due < TimeSpan.FromMilliseconds(500)));
        }

        _api.Set("c", "10.0.0.3");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(["a", "b", "c"]));
        Assert.Equal(1, _api.Lists);
        Assert.Contains(Warnings(), warning => warning.Message.Contains("cannot be asked", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Watch_ConnectionIsResetAtOnceEachTime_IsAskedForMoreAndMoreSeldom()
    {
        await using var source = await ListedAsync();
        var pauses = new List<TimeSpan>();
        for (var i = 1; i <= 12; i++)
        {
            await WatchesAsync(i);
            await _api.ResetWatchesAsync();
            pauses.AddRange(await PausesAsync(1));
        }

        AssertGrow(pauses);
    }

    [Fact]
    public async Task Watch_ConnectionsAreRefused_KeepsTheListAndGoesOnWhenTheyAreNot()
    {
        await using var source = await ListedAsync();
        await WatchesAsync(1);
        var port = new Uri(_api.Url).Port;
        await _api.DisposeAsync();
        await PassUntilAsync(() => Warnings().Count > 0);
        Assert.Equal(["a", "b"], NamesOf(await source.FirstAsync()));

        _api = await FakeApiServer.StartAsync(certificate: null, port);
        foreach (var name in (string[])["a", "b", "c"])
        {
            _api.Set(name, "10.0.0.1");
        }

        await PassUntilAsync(() => NamesOf(source.Lists[^1]).SequenceEqual(["a", "b", "c"]));
        Assert.Single(Warnings());
    }

    [Fact]
    public async Task List_NoAnswer_IsGivenUpInTimeAndAskedForAgain()
    {
        var hold = _api.HoldLists = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var source = await StartAsync();
        await _time.ArmedAsync(NodeApi.HeadTimeout);
        await Wait.UntilAsync(() => _api.Lists == 1, "the list is asked for");

        _time.Advance(NodeApi.HeadTimeout - Tick);
        Assert.Empty(Warnings());
        _time.Advance(Tick);
        await GivenUpAsync();

        (_api.HoldLists, _) = (null, hold.TrySetResult());
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 2);
    }

    [Fact]
    public async Task List_StopsInTheMiddle_IsGivenUpInTimeAndAskedForAgain()
    {
        var hold = _api.HoldHalfLists = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var source = await StartAsync();
        await _time.ArmedAsync(NodeApi.ListTimeout);
        await Wait.UntilAsync(() => _api.Lists == 1, "the list is asked for");

        await PassUntilAsync(() => Warnings().Count > 0);
        await GivenUpAsync();

        (_api.HoldHalfLists, _) = (null, hold.TrySetResult());
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 2);
    }

    [Fact]
    public async Task Watch_NoAnswer_IsGivenUpInTimeAndAskedForAgain()
    {
        var hold = _api.HoldWatches = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var source = await ListedAsync();
        await WatchesAsync(1);

        _time.Advance(NodeApi.HeadTimeout);
        await GivenUpAsync();

        (_api.HoldWatches, _) = (null, hold.TrySetResult());
        _api.Set("c", "10.0.0.3");
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 3);
        Assert.Equal(1, _api.Lists);
    }

    [Fact]
    public async Task Watch_SilentForLongerThanAskedFor_IsGivenUpAndAskedForAgain()
    {
        await using var source = await ListedAsync();
        await WatchesAsync(1);
        var length = TimeSpan.FromSeconds(NumberIn("timeoutSeconds", _api.Watches[0]));

        _time.Advance(length);
        Assert.Empty(Warnings());
        _time.Advance(NodeApi.WatchMargin);
        await GivenUpAsync();

        await PassUntilAsync(() => _api.Watches.Count == 2);
        Assert.Equal(1, _api.Lists);
    }

    private static IEnumerable<string> NamesOf(MemberList list) => list.Members.Select(member => member.Name);

    private static int NumberIn(string name, string request) =>
        int.Parse(Regex.Match(request, $"[?&]{name}=([0-9]+)", RegexOptions.None, TimeSpan.FromSeconds(1)).Groups[1].Value, CultureInfo.InvariantCulture);

    // Each pause is by chance; what they come to is not.
    private static void AssertGrow(IReadOnlyList<TimeSpan> pauses)
    {
        var told = string.Join(", ", pauses.Select(pause => $"{pause.TotalSeconds:0.0}"));
        Assert.All(pauses, pause => Assert.True(pause <= Longest, told));
        Assert.True(pauses[0] + pauses[1] < Longest / 6, told);
        Assert.True(pauses[^1] + pauses[^2] + pauses[^3] > Longest, told);
        Assert.True(pauses.Distinct().Count() >= pauses.Count / 2, told);
    }

    private async Task<RunningSource> ListedAsync()
    {
        var source = await StartAsync();
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.Members.Count == 2);
        return source;
    }

    private Task<RunningSource> StartAsync(int seed = 1) => RunningSource.StartAsync(_api.Url, _options, _log, _time, seed);

    /// <summary>All changes so far are known to the source.</summary>
    private async Task BookmarkAsync()
    {
        _api.Nodes.Bookmark();
        await Wait.UntilAsync(() => _api.Told == _api.Nodes.Version, "the bookmark is sent");
        var watches = _api.Watches.Count;
        await _api.EndWatchesAsync();
        await WatchesAsync(watches + 1);
    }

    private Task WatchesAsync(int count) => Wait.UntilAsync(() => _api.Watches.Count >= count, $"{count} watches are asked for");

    /// <summary>Lets the next pauses between attempts pass.</summary>
    private async Task<IReadOnlyList<TimeSpan>> PausesAsync(int count)
    {
        var pauses = new List<TimeSpan>();
        while (pauses.Count < count)
        {
            pauses.Add(await _time.ArmedAsync(due => due <= Longest && due != Settle && due != NodeApi.HeadTimeout));
            _time.Advance(pauses[^1]);
        }

        return pauses;
    }

    /// <summary>Lets time pass until it has happened; slowly enough for requests, whose limits it passes for, too.</summary>
    private Task PassUntilAsync(Func<bool> happened) => Wait.UntilAsync(
        async () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(50);
            return happened();
        },
        "it has happened");

    private Task GivenUpAsync() => Wait.UntilAsync(() => Warnings().Any(warning => warning.Message.Contains("no answer in time", StringComparison.Ordinal)), "it is given up");

    private List<FakeLogRecord> Warnings() => [.. _log.Collector.GetSnapshot().Where(record => record.Level >= LogLevel.Warning)];
}
