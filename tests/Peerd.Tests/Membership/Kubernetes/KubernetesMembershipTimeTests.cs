using System.Globalization;
using System.Net;
using System.Net.Sockets;
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
    private static readonly TimeSpan Interval = KubernetesMembershipSource.WatchInterval;
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

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
        await using var source = await WatchedAsync();
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
        await using var source = await WatchedAsync();

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
        Assert.InRange(NumberIn("timeoutSeconds", _api.Watches[0]), 53, 60);

        _time.Advance(TimeSpan.FromSeconds(50));
        await _api.EndWatchesAsync();
        await WatchesAsync(2);
        Assert.InRange(NumberIn("timeoutSeconds", _api.Watches[1]), 3, 10);
        Assert.Equal(1, _api.Lists);

        // It was as long as it was to be, and nothing is waited for.
        _time.Advance(TimeSpan.FromSeconds(10));
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
        await using var source = await WatchedAsync();
        _api.EndsWatchesAtOnce = true;
        await _api.EndWatchesAsync();

        var pauses = await PausesAsync(12);

        AssertGrow(pauses);
        // The one that has lasted, one before each pause, and maybe one behind the last.
        Assert.InRange(_api.Watches.Count, 13, 14);
        Assert.Equal(1, _api.Lists);
        Assert.Contains("as soon as they begin", Assert.Single(Warnings()).Message, StringComparison.Ordinal);

        _api.EndsWatchesAtOnce = false;
        _api.Set("c", "10.0.0.3");
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 3);
    }

    [Theory]
    [InlineData(0, true, false)]
    [InlineData(2, false, false)]
    [InlineData(2, true, false)]
    [InlineData(2, false, true)]
    public async Task Watch_EndsEarlyEachTime_NextOneWaitsUntilItIsTime(int seconds, bool hasTold, bool isReset)
    {
        await using var source = await WatchedAsync();
        await _api.EndWatchesAsync();
        for (var i = 2; i <= 6; i++)
        {
            await WatchesAsync(i);
            _time.Advance(TimeSpan.FromSeconds(seconds));
            if (hasTold)
            {
                await ToldAsync();
            }

            await (isReset ? _api.ResetWatchesAsync() : _api.EndWatchesAsync());

            var pause = await _time.ArmedAsync(due => due > Settle && due <= Interval);
            Assert.InRange(pause + TimeSpan.FromSeconds(seconds), (Interval / 2) - Tick, Interval);
            Assert.Equal(i, _api.Watches.Count);
            _time.Advance(pause);
        }

        await WatchesAsync(7);
        _api.Set("c", "10.0.0.3");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.Members.Count == 3);
        Assert.Equal(1, _api.Lists);
    }

    [Fact]
    public async Task Watch_WatchEnds_GoesOnAtOnceFromWhereItStood()
    {
        await using var source = await ListedAsync();
        for (var i = 1; i <= 3; i++)
        {
            await WatchesAsync(i);
            _time.Advance(Interval);
            await _api.EndWatchesAsync();
            var name = $"c-{i}";
            _api.Set(name, "10.0.1.1");
            await _time.PassAsync(Settle);
            await source.UntilAsync(list => list.IndexOf(name) >= 0 && list.Members.Count == 2 + i);
        }

        Assert.Equal(1, _api.Lists);
        Assert.Empty(Warnings());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Watch_VersionForgotten_ListsAgain(bool isToldByStatus)
    {
        _api.AnswersGone = isToldByStatus;
        await using var source = await WatchedAsync();
        _api.Nodes.Remove("b");
        _api.Nodes.Compact();
        await _api.EndWatchesAsync();

        await PassUntilAsync(() => NamesOf(source.Lists[^1]).SequenceEqual(["a"]) && _api.Lists >= 2);
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
        await WatchesAsync(1);
        _time.Advance(Interval);
        _time.Forget();
        _api.Status = 500;
        await _api.EndWatchesAsync();
        Assert.All(await PausesAsync(2), pause => Assert.True(pause < Longest / 6, $"{pause}"));
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"metadata\":{},\"items\":[]}")]
    [InlineData("{\"metadata\":{\"resourceVersion\":\"1\"}}")]
    [InlineData("{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[null]}")]
    public async Task List_Malformed_KeepsTheLastOneAndIsAskedForAgain(string body)
    {
        await using var source = await WatchedAsync();
        var hold = _api.HoldWatches = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _api.ListBody = body;
        await _api.EndWatchesAsync();
        await Wait.UntilAsync(() => _api.Watches.Count == 2, "a watch is asked for");

        // No watch tells of it.
        _api.Nodes.Remove("b");
        _api.Nodes.Compact();
        (_api.HoldWatches, _) = (null, hold.TrySetResult());
        await PassUntilAsync(() => _api.Lists >= 4);
        Assert.Equal(["a", "b"], NamesOf(await source.FirstAsync()));
        Assert.Contains("cannot be asked", Assert.Single(Warnings()).Message, StringComparison.Ordinal);

        _api.ListBody = null;
        await PassUntilAsync(() => NamesOf(source.Lists[^1]).SequenceEqual(["a"]));
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
            _time.Advance(Interval);
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
        await using var source = await WatchedAsync();
        await _api.EndWatchesAsync();
        var pauses = new List<TimeSpan>();
        for (var i = 2; i <= 13; i++)
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
        // It does not listen, and as long as it is there nobody else is given this port.
        using var place = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        place.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, optionValue: true);
        place.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var port = ((IPEndPoint)place.LocalEndPoint!).Port;
        await _api.DisposeAsync();
        await StartApiAsync(port, "a", "b");
        await using var source = await ListedAsync();
        await WatchesAsync(1);

        await _api.DisposeAsync();
        await PassUntilAsync(() => Warnings().Count > 0);
        Assert.Equal(["a", "b"], NamesOf(await source.FirstAsync()));

        await StartApiAsync(port, "a", "b", "c");
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
        await AnsweredAsync();

        _time.Advance(NodeApi.ListTimeout - Tick);
        Assert.Empty(Warnings());
        _time.Advance(Tick);
        await GivenUpAsync();

        (_api.HoldHalfLists, _) = (null, hold.TrySetResult());
        await PassUntilAsync(() => source.Lists[^1].Members.Count == 2);
    }

    [Fact]
    public async Task Watch_NoAnswer_IsGivenUpInTimeAndAskedForAgain()
    {
        var hold = _api.HoldWatches = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var source = await ListedAsync();
        await Wait.UntilAsync(() => _api.Watches.Count == 1, "a watch is asked for");

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
        Assert.True(pauses.Distinct().Count() >= pauses.Count - 1, told);
    }

    private async Task<RunningSource> ListedAsync()
    {
        var source = await StartAsync();
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.Members.Count == 2);
        return source;
    }

    /// <summary>And the first watch has lasted so long that another one may follow at once.</summary>
    private async Task<RunningSource> WatchedAsync()
    {
        var source = await ListedAsync();
        await WatchesAsync(1);
        _time.Advance(Interval);
        return source;
    }

    private async Task StartApiAsync(int port, params string[] names)
    {
        _api = await FakeApiServer.StartAsync(certificate: null, port);
        foreach (var name in names)
        {
            _api.Set(name, "10.0.0.1");
        }
    }

    private Task<RunningSource> StartAsync(int seed = 1) => RunningSource.StartAsync(_api.Url, _options, _log, _time, seed);

    /// <summary>All changes so far are known to the source.</summary>
    private async Task BookmarkAsync()
    {
        await ToldAsync();
        var watches = _api.BegunWatches;
        await _api.EndWatchesAsync();
        await WatchesAsync(watches + 1);
    }

    private async Task ToldAsync()
    {
        _api.Nodes.Bookmark();
        await Wait.UntilAsync(() => _api.Told == _api.Nodes.Version, "the bookmark is sent");
    }

    /// <summary>So many watches have begun, and the source knows it.</summary>
    private async Task WatchesAsync(int count)
    {
        await Wait.UntilAsync(() => _api.BegunWatches >= count, $"{count} watches have begun");
        await AnsweredAsync();
    }

    /// <summary>The answers to all requests so far have begun: time may pass.</summary>
    private Task AnsweredAsync() => Wait.UntilAsync(() => !_time.IsArmed(due => due == NodeApi.HeadTimeout), "no answer is waited for");

    /// <summary>Lets the next pauses between attempts pass.</summary>
    private async Task<IReadOnlyList<TimeSpan>> PausesAsync(int count)
    {
        var pauses = new List<TimeSpan>();
        while (pauses.Count < count)
        {
            pauses.Add(await _time.ArmedAsync(due => IsPause(due) && due != Settle));
            _time.Advance(pauses[^1]);
        }

        return pauses;
    }

    /// <summary>Lets pauses pass until it has happened. While an answer is waited for time stands still, however long that takes.</summary>
    private Task PassUntilAsync(Func<bool> happened) => Wait.UntilAsync(
        () =>
        {
            if (_time.IsArmed(IsPause) && !_time.IsArmed(due => due == NodeApi.HeadTimeout))
            {
                _time.Advance(TimeSpan.FromSeconds(1));
            }

            return happened();
        },
        "it has happened");

    private static bool IsPause(TimeSpan due) => due <= Longest && due != NodeApi.HeadTimeout;

    private Task GivenUpAsync() => Wait.UntilAsync(() => Warnings().Any(warning => warning.Message.Contains("no answer in time", StringComparison.Ordinal)), "it is given up");

    private List<FakeLogRecord> Warnings() => [.. _log.Collector.GetSnapshot().Where(record => record.Level >= LogLevel.Warning)];
}
