using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Facade;

/// <summary>How connections end when a body cannot be finished. containerd resumes after FIN and gives up after a reset.</summary>
public sealed class ConnectionEndTests
{
    private static readonly byte[] Bytes = MirrorFixture.MakeBytes(1_000_000);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Theory]
    [InlineData(1)]
    [InlineData(100_000)]
    [InlineData(999_999)]
    public async Task Source_FailsInMidBody_EndsWithFinAndResumes(int failsAt)
    {
        await using var host = await FacadeHost.StartAsync();
        var content = new FakeContent(Bytes, null) { FailsAt = failsAt };
        var target = $"/v2/team/app/blobs/{host.Contents.Add(content)}?ns=reg.test";
        await using var connection = await host.ConnectAsync();

        await connection.WriteRequestAsync("GET", target);
        var head = await connection.ReadHeadAsync();
        var (received, end) = await connection.ReadToEndAsync();

        Assert.Equal((200, "1000000"), (head.Status, head.Header("Content-Length")));
        Assert.Equal(ConnectionEnd.Fin, end);
        Assert.Equal(Bytes[..failsAt], received);

        content.FailsAt = long.MaxValue;
        var rest = await host.GetAsync(target, $"Range: bytes={received.Length}-");
        Assert.Equal((206, $"bytes {failsAt}-999999/1000000"), (rest.Status, rest.Header("Content-Range")));
        Assert.Equal(Digest.OfSha256(Bytes), Digest.OfSha256([.. received, .. rest.Body]));
    }

    [Fact]
    public async Task Content_WithWrongDigest_IsNeverComplete()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { IsWrong = true });
        await using var connection = await host.ConnectAsync();

        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
        await connection.ReadHeadAsync();
        var (received, end) = await connection.ReadToEndAsync();

        Assert.Equal((Bytes.Length - 1, ConnectionEnd.Fin), (received.Length, end));
    }

    [Fact]
    public async Task Source_FailsBeforeTheFirstByte_IsOneFailureWithAReasonAndNothingIsCut()
    {
        await using var host = await FacadeHost.StartAsync();
        var meters = host.Services.GetRequiredService<IMeterFactory>();
        using var failed = new MetricCollector<long>(meters, FacadeMetrics.MeterName, FacadeMetrics.FailedName);
        using var truncated = new MetricCollector<long>(meters, FacadeMetrics.MeterName, FacadeMetrics.TruncatedName);
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { FailsAt = 0 });
        await using var connection = await host.ConnectAsync();

        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test&token=S3cret");
        var head = await connection.ReadHeadAsync();
        await Wait.UntilAsync(() => failed.GetMeasurementSnapshot().EvaluateAsCounter() > 0, "the request is over");

        Assert.Equal(502, head.Status);
        Assert.Equal((1, 0), (failed.GetMeasurementSnapshot().EvaluateAsCounter(), truncated.GetMeasurementSnapshot().EvaluateAsCounter()));
        await Wait.UntilAsync(() => host.Logs.GetSnapshot().Any(record => record.Level == LogLevel.Warning), "it is logged");
        Assert.Equal($"Answered 502 to /v2/team/app/blobs/{digest}: no source has the content, or what they have does not match the digest", Assert.Single(host.Logs.GetSnapshot(), record => record.Level == LogLevel.Warning).Message);
    }

    [Fact]
    public async Task Source_FailsInMidBody_LogSaysOfWhat()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { FailsAt = 100_000 });
        await using var connection = await host.ConnectAsync();

        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test&token=S3cret");
        await connection.ReadHeadAsync();
        await connection.ReadToEndAsync();

        var warning = Assert.Single(host.Logs.GetSnapshot(), record => record.Level == LogLevel.Warning);
        Assert.Contains($"reg.test/team/app {digest} cut: ", warning.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("secret", warning.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("Range: bytes=500-")]
    public async Task Source_FailsBeforeTheFirstByte_IsBadGateway(string range)
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { FailsAt = range.Length == 0 ? 0 : 500 });
        await using var connection = await host.ConnectAsync();

        var answer = await connection.SendAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test", range.Length == 0 ? [] : [range]);

        Assert.Equal((502, RegistryError.Unavailable), (answer.Status, answer.ErrorCode()));
        Assert.All(["Docker-Content-Digest", "ETag", "Accept-Ranges", "Content-Range"], name => Assert.Null(answer.Header(name)));
        Assert.Equal(200, (await connection.SendAsync("GET", "/v2/")).Status);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Client_VanishesInMidBody_StopsTheReadingQuietly(bool throws)
    {
        await using var host = await FacadeHost.StartAsync();
        var content = new FakeContent(Bytes, null) { GateAt = 100_000, CopyGate = new TaskCompletionSource().Task, ThrowsWhenCancelled = throws };
        var digest = host.Contents.Add(content);
        var connection = await host.ConnectAsync();
        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
        Assert.Equal(50_000, await connection.ReadAsync(new byte[50_000]));

        // Before, sending would tell it, and there is nothing to cancel.
        await content.AtGate.Task.WaitAsync(Patience);
        connection.Reset();

        await content.Cancelled.Task.WaitAsync(Patience);
        await content.Disposed.Task.WaitAsync(Patience);
        await connection.DisposeAsync();
        Assert.Equal(200, (await host.GetAsync("/v2/")).Status);
        Assert.DoesNotContain(host.Logs.GetSnapshot(), r => r.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Client_VanishesBeforeTheHead_StopsTheOpening()
    {
        await using var host = await FacadeHost.StartAsync();
        var content = new FakeContent(Bytes, null) { OpenGate = new TaskCompletionSource().Task };
        var digest = host.Contents.Add(content);
        var connection = await host.ConnectAsync();
        using var requests = new MetricCollector<long>(host.Services.GetRequiredService<IMeterFactory>(), FacadeMetrics.MeterName, FacadeMetrics.RequestsName);
        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
        await content.Opening.Task.WaitAsync(Patience);

        connection.Reset();
        await connection.DisposeAsync();

        await content.Cancelled.Task.WaitAsync(Patience);
        await requests.WaitForMeasurementsAsync(1, Patience);
        Assert.Equal("499", requests.LastMeasurement!.Tags["code"]);
        Assert.DoesNotContain(host.Logs.GetSnapshot(), r => r.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Client_ResetsManyTimes_LeavesNothingOpen()
    {
        const int Times = 300;
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(Bytes);
        using var requests = new MetricCollector<long>(host.Services.GetRequiredService<IMeterFactory>(), FacadeMetrics.MeterName, FacadeMetrics.RequestsName);
        for (var i = 0; i < Times; i++)
        {
            await using var connection = await host.ConnectAsync();
            await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
            Assert.True(await connection.ReadAnyAsync());
            connection.Reset();
        }

        await requests.WaitForMeasurementsAsync(Times, Patience);
        Assert.Equal((Times, 0), (host.Contents.Opened.Count, host.Contents.OpenReadings));
        Assert.DoesNotContain(host.Logs.GetSnapshot(), r => r.Level >= LogLevel.Warning);
    }

    [Fact]
    public async Task Source_FailsBeforeTheFirstFlush_EndsWithFinAfterWhatThereWas()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { FailsAt = 100, NeverFlushes = true });
        await using var connection = await host.ConnectAsync();

        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
        var head = await connection.ReadHeadAsync();
        var (received, end) = await connection.ReadToEndAsync();

        Assert.Equal((200, ConnectionEnd.Fin), (head.Status, end));
        Assert.Equal(Bytes[..100], received);
    }

    [Fact]
    public async Task Metrics_OfRequests_HaveCodeAndCutAnswers()
    {
        await using var host = await FacadeHost.StartAsync();
        var meters = host.Services.GetRequiredService<IMeterFactory>();
        using var requests = new MetricCollector<long>(meters, FacadeMetrics.MeterName, FacadeMetrics.RequestsName);
        using var durations = new MetricCollector<double>(meters, FacadeMetrics.MeterName, FacadeMetrics.DurationName);
        using var truncated = new MetricCollector<long>(meters, FacadeMetrics.MeterName, FacadeMetrics.TruncatedName);
        var digest = host.Contents.Add(new FakeContent(Bytes, null) { FailsAt = 70_000 });

        await host.GetAsync("/v2/");
        await host.GetAsync("/v2/A/blobs/x");
        await using (var connection = await host.ConnectAsync())
        {
            await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{digest}?ns=reg.test");
            await connection.ReadToEndAsync();
        }

        // A client may have its answer before it is counted, so the order is open.
        await requests.WaitForMeasurementsAsync(3, Patience);
        await durations.WaitForMeasurementsAsync(3, Patience);
        Assert.Equal(["200", "200", "400"], requests.GetMeasurementSnapshot().Select(m => (string)m.Tags["code"]!).Order(StringComparer.Ordinal));
        Assert.All(requests.GetMeasurementSnapshot(), m => Assert.Equal("v2", m.Tags["facade"]));
        Assert.Equal(3, durations.GetMeasurementSnapshot().Count);
        Assert.Single(truncated.GetMeasurementSnapshot());
    }
}
