using System.Diagnostics.Metrics;
using k8s;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Facade;
using Peerd.Node.Hosting.Events;
using Peerd.Tests.Chart;
using Peerd.Tests.Membership.Kubernetes;

namespace Peerd.Tests.Hosting.Events;

/// <summary>How events come to the API server, and what happens when they do not.</summary>
public sealed class PodEventsTests : IAsyncLifetime
{
    private static readonly PodEvent Connected = new(PodEventKind.Connected, "Ready: connected to the mesh of 4 other nodes.");
    private static readonly PodEvent Failed = new(PodEventKind.Failed, "3 requests failed.");

    private readonly FakeLogger _log = new();
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
    private readonly CancellationTokenSource _stop = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private FakeApiServer _server = null!;
    private EventApi _api = null!;
    private EventSender _sender = null!;
    private Task _running = Task.CompletedTask;

    private IMeterFactory Meters => _services.GetRequiredService<IMeterFactory>();

    public async ValueTask InitializeAsync()
    {
        _server = await FakeApiServer.StartAsync();
        _api = new EventApi(new KubernetesClientConfiguration { Host = _server.Url }, new EventOptions { Pod = "peerd-x7k2p", Namespace = "peerd-ns", Uid = "0f5c" }, "node-1", _time);
        _sender = new EventSender(_api, Meters, _time, _log);
        _running = _sender.RunAsync(_stop.Token);
    }

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _api.Dispose();
        _stop.Dispose();
        await _services.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Send_First_IsAnEventOfThePod()
    {
        _sender.Send(Connected);
        await CountAsync(1);

        var written = _server.PodEvents[0];
        Assert.Equal(("P2PConnected", "Normal", Connected.Message), (Text(written, "reason"), Text(written, "type"), Text(written, "message")));
        Assert.Equal("""{"apiVersion":"v1","kind":"Pod","name":"peerd-x7k2p","namespace":"peerd-ns","uid":"0f5c"}""", written["involvedObject"]!.ToJsonString());
        Assert.Equal("""{"component":"peerd","host":"node-1"}""", written["source"]!.ToJsonString());
        Assert.Equal(("2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", 1), (Text(written, "firstTimestamp"), Text(written, "lastTimestamp"), written["count"]!.GetValue<int>()));
    }

    [Fact]
    public async Task Send_Again_IsCountedInTheSameEvent()
    {
        _sender.Send(Failed);
        await CountAsync(1);
        _sender.Send(Failed with { Message = "5 requests failed." });
        await PassAsync(() => _server.PodEvents[0]["count"]!.GetValue<int>() == 2);

        var written = Assert.Single(_server.PodEvents);
        Assert.Equal("5 requests failed.", Text(written, "message"));
        Assert.Equal("2026-01-02T03:04:05Z", Text(written, "firstTimestamp"));
    }

    [Fact]
    public async Task Send_AgainAfterTheEventIsGone_IsANewOne()
    {
        _sender.Send(Failed);
        await CountAsync(1);
        _server.ForgetPodEvents();
        _sender.Send(Failed);

        await PassAsync(() => _server.PodEvents.Count == 1);
        Assert.Equal(1, _server.PodEvents[0]["count"]!.GetValue<int>());
    }

    [Fact]
    public async Task Send_ManyOfOneKind_AreWrittenRarely()
    {
        _sender.Send(Failed);
        await CountAsync(1);
        var before = _server.Requests.Count;
        for (var i = 0; i < 50; i++)
        {
            _sender.Send(Failed with { Message = $"{i} requests failed." });
        }

        await PassAsync(() => _server.PodEvents[0]["count"]!.GetValue<int>() == 2);
        Assert.Equal(before + 1, _server.Requests.Count);
        Assert.True(_sender.Dropped > 0);
    }

    [Theory]
    [InlineData(403)]
    [InlineData(500)]
    public async Task Send_Refused_OneWarningAndWrittenLater(int status)
    {
        _server.Status = status;
        _sender.Send(Connected);
        await PassAsync(() => _server.Requests.Count >= 4);
        Assert.Contains($"{status}", Assert.Single(Warnings()).Message, StringComparison.Ordinal);

        _server.Status = 0;
        await PassAsync(() => _server.PodEvents.Count == 1);
        Assert.Single(Warnings());
    }

    // Only a new event that is there already has been written: of one that is to change nothing has.
    [Fact]
    public async Task Send_AgainAndTheServerHasAConflict_IsWrittenLater()
    {
        _sender.Send(Failed);
        await CountAsync(1);
        _server.Status = 409;
        _sender.Send(Failed with { Message = "5 requests failed." });
        await PassAsync(() => _server.Requests.Count >= 2);

        _server.Status = 0;
        await PassAsync(() => _server.PodEvents[0]["count"]!.GetValue<int>() == 2);
        Assert.Equal("5 requests failed.", Text(Assert.Single(_server.PodEvents), "message"));
    }

    [Fact]
    public async Task Send_ServerIsDown_OneWarningAndNobodyWaits()
    {
        var gone = await FakeApiServer.StartAsync();
        await gone.DisposeAsync();
        using var api = new EventApi(new KubernetesClientConfiguration { Host = gone.Url }, new EventOptions { Pod = "peerd-x7k2p", Namespace = "peerd-ns" }, "node-1", _time);
        var sender = new EventSender(api, Meters, _time, _log);
        var running = sender.RunAsync(_stop.Token);
        for (var i = 0; i < 1000; i++)
        {
            sender.Send(i % 2 == 0 ? Connected : Failed);
        }

        await PassAsync(() => Warnings().Count > 0);
        var start = _time.GetUtcNow();
        await PassAsync(() => _time.GetUtcNow() - start > TimeSpan.FromSeconds(10));
        Assert.Single(Warnings());
        Assert.False(running.IsCompleted);
        await _stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
    }

    [Fact]
    public async Task Send_ServerIsSilent_NobodyWaitsAndTheRestIsDropped()
    {
        using var dropped = new MetricCollector<long>(Meters, FacadeMetrics.MeterName, EventSender.DroppedName);
        _server.HoldEvents = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _sender.Send(Connected);
        await Wait.UntilAsync(() => _server.Requests.Count == 1, "the first event is on its way");

        // Returns although the first one has no answer: the queue is bounded.
        for (var i = 0; i < 1000; i++)
        {
            _sender.Send(Failed);
        }

        Assert.True(_sender.Dropped >= 1000 - EventSender.QueueSize);
        dropped.RecordObservableInstruments();
        Assert.Equal(_sender.Dropped, Assert.Single(dropped.GetMeasurementSnapshot()).Value);
        Assert.Equal(("peerd_events_dropped_total", "events"), MetricsPage.Of(dropped.Instrument!));
        Assert.NotEmpty(dropped.Instrument!.Description!);
        Assert.Empty(_server.PodEvents);
        _server.HoldEvents.SetResult();
        await PassAsync(() => _server.PodEvents.Count == 2);
    }

    [Fact]
    public async Task Run_StoppedWhileAnEventFails_EndsAsCancelled()
    {
        var token = new LateToken();
        using var api = new EventApi(new KubernetesClientConfiguration { Host = _server.Url, TokenProvider = token }, new EventOptions { Pod = "peerd-x7k2p", Namespace = "peerd-ns" }, "node-1", _time);
        var sender = new EventSender(api, Meters, _time, _log);
        var running = sender.RunAsync(_stop.Token);
        sender.Send(Connected);
        await token.Asked.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        await _stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => running);
        Assert.Empty(Warnings());
    }

    [Fact]
    public async Task Kubectl_Events_ShowsThem()
    {
        _sender.Send(Connected);
        _sender.Send(Failed);
        await CountAsync(2);

        // The command that makes its table itself; that of `get` is made by real API servers.
        var run = await ChartTool.KubectlAsync(string.Empty, "events", "--namespace", "peerd-ns", "--server", _server.Url);

        Assert.True(run.ExitCode == 0, run.Error);
        Assert.Matches(@"Normal +P2PConnected +Pod/peerd-x7k2p +Ready: connected to the mesh of 4 other nodes\.", run.Output);
        Assert.Matches(@"Warning +P2PFailed +Pod/peerd-x7k2p +3 requests failed\.", run.Output);
    }

    private Task CountAsync(int count) => Wait.UntilAsync(() => _server.PodEvents.Count == count, $"{count} events");

    // Time passes until it has happened; slowly enough for requests, whose deadlines it passes for, too.
    private Task PassAsync(Func<bool> happened) => Wait.UntilAsync(
        async () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            await Task.Delay(100);
            return happened();
        },
        "it has happened");

    private List<FakeLogRecord> Warnings() => [.. _log.Collector.GetSnapshot().Where(record => record.Level >= LogLevel.Warning)];

    private static string Text(System.Text.Json.Nodes.JsonObject item, string field) => item[field]!.GetValue<string>();
}
