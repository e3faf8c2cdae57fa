using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginProtectionTests
{
    private readonly byte[] _bytes = Bytes(5000);
    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    [Theory]
    [InlineData(429, "7", 7)]
    [InlineData(503, "7", 7)]
    [InlineData(429, "Thu, 01 Jan 2026 00:01:00 GMT", 60)]
    [InlineData(429, "86400", 300)]
    [InlineData(503, "99999999999999999999", 300)]
    public async Task ReadAsync_RetryAfter_IsAnsweredWithoutAskingUntilThen(int status, string header, int seconds)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith((HttpStatusCode)status, times: 1, retryAfter: header);
        await using var setup = NewSetup(registry);

        await using (var first = await setup.ReadAsync(Blob(digest)))
        {
            Assert.Equal((OriginOutcome.Refused, TimeSpan.FromSeconds(seconds)), (first.Outcome, first.RetryAfter));
        }

        _time.Advance(TimeSpan.FromSeconds(2));
        await using (var second = await setup.ReadAsync(Blob(digest)))
        {
            Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status, TimeSpan.FromSeconds(seconds - 2)), (second.Outcome, second.Status, second.RetryAfter));
        }

        // For the registry, whatever the repository, and for the size of a blob, too.
        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), await setup.TryAsync(Blob(digest) with { Repository = "team/another" }));
        await using (var stat = await setup.StatAsync(Blob(digest)))
        {
            Assert.Equal((HttpStatusCode)status, stat.Status);
        }

        Assert.Single(registry.Requests);
        Assert.Single(setup.RequestsSent.GetMeasurementSnapshot());
        Assert.Equal(["paused", "paused", "paused"], ResultsOf(setup));
        Assert.Single(setup.Logs.GetSnapshot(), record => record.Level == LogLevel.Warning);

        _time.Advance(TimeSpan.FromSeconds(seconds - 2));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Theory]
    [InlineData(429, "0")]
    [InlineData(429, "-7")]
    [InlineData(429, "7.5")]
    [InlineData(429, "soon")]
    [InlineData(429, "Wed, 31 Dec 2025 23:59:59 GMT")]
    [InlineData(429, null)]
    [InlineData(503, "0")]
    [InlineData(404, "7")]
    [InlineData(500, "7")]
    [InlineData(502, "7")]
    public async Task ReadAsync_NoPauseAskedFor_AsksAgain(int status, string? header)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith((HttpStatusCode)status, times: 1, retryAfter: header);
        await using var setup = NewSetup(registry, ("NotFoundFor", "0s"));

        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), await setup.TryAsync(Blob(digest)));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        Assert.Empty(ResultsOf(setup));
    }

    [Theory]
    [InlineData(OriginKind.Manifest)]
    [InlineData(OriginKind.Blob)]
    public async Task ReadAsync_PauseOfOneKind_LetsTheOtherPass(object kind)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var blob = Blob(registry.AddBlob(_bytes));
        registry.AddManifest(_bytes, tags: "v1");
        var (paused, free) = kind is OriginKind.Blob ? (blob, Manifest("v1")) : (Manifest("v1"), blob);
        registry.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "60");
        await using var setup = NewSetup(registry);
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(paused));

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(free));
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(paused));
        Assert.Equal(2, registry.Requests.Count);
    }

    [Fact]
    public async Task ReadAsync_PauseOfOneRegistry_LetsOthersPass()
    {
        await using var one = await FakeRegistry.StartAsync();
        await using var two = await FakeRegistry.StartAsync();
        var digest = one.AddBlob(_bytes);
        two.AddBlob(_bytes);
        one.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "60");
        await using var setup = new OriginSetup([("one.test", one.Url), ("two.test", two.Url)], null, _time);

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(digest, "one.test")));

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest, "two.test")));
    }

    [Fact]
    public async Task ReadAsync_PauseBegins_StopsWhoWaitsButNotWhatIsUnderWay()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = NewSetup(registry, ("MaxConcurrentRequests", "1"));
        using var hold = registry.HoldBodies();
        var underWay = await setup.ReadAsync(Blob(digest));
        var waiting = setup.ReadAsync(Blob(digest));
        Assert.False(waiting.IsCompleted);

        registry.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "60");
        await using (var stat = await setup.StatAsync(Blob(digest)))
        {
            Assert.Equal(HttpStatusCode.TooManyRequests, stat.Status);
        }

        // There is no slot, and none is needed to say no.
        var atOnce = setup.ReadAsync(Blob(digest));
        Assert.True(atOnce.IsCompleted);
        await (await atOnce).DisposeAsync();

        hold.Dispose();
        Assert.Equal(_bytes, await ReadAllAsync(underWay));
        await underWay.DisposeAsync();
        await using var refused = await waiting.WaitAsync(Wait.Longest);
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests, TimeSpan.FromSeconds(60)), (refused.Outcome, refused.Status, refused.RetryAfter));
        Assert.Equal(["GET", "HEAD"], registry.Requests.Select(request => request.Method));
    }

    [Fact]
    public async Task ReadAsync_PauseOfTheRegistry_LetsTheStoreServeWhatItLedTo()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var (known, other) = (registry.AddBlob(_bytes), registry.AddBlob([1]));
        registry.RedirectBlobsTo(store);
        await using var setup = NewSetup(registry);
        var range = new ByteRange(0, 1000);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(known), range));
        registry.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "60");
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(other)));

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(known), range));

        // When the signature ends the registry would have to be asked for a new one.
        store.ExpireSignatures();
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(known), range));
        Assert.Equal((2, 3), (registry.Requests.Count, store.Requests.Count));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ReadAsync_PauseOfTheStore_HoldsForBlobs(bool isRedirectKnown)
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AddManifest(_bytes, tags: "v1");
        registry.RedirectBlobsTo(store);
        await using var setup = NewSetup(registry);
        if (isRedirectKnown)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        }

        var before = store.Requests.Count;
        store.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "60");
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(digest)));
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(digest)));
        Assert.Equal((1, 1), (registry.Requests.Count, store.Requests.Count - before));

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Manifest("v1")));
        _time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_PauseOfTheTokenServer_LetsWhoHasATokenPass()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        await using var setup = NewSetup(registry);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        registry.Intercept = context =>
        {
            var isToken = context.Request.Path == "/token";
            if (isToken)
            {
                context.Response.StatusCode = 429;
                context.Response.Headers.RetryAfter = "400";
            }

            return Task.FromResult(isToken);
        };
        var another = Blob(digest) with { Repository = "team/another" };
        await using (var refused = await setup.ReadAsync(another))
        {
            Assert.Equal((HttpStatusCode.TooManyRequests, TimeSpan.FromMinutes(5)), (refused.Status, refused.RetryAfter));
        }

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(another));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        Assert.Equal(2, registry.Requests.Count(request => request.Target.StartsWith("/token", StringComparison.Ordinal)));

        // The token ends before the pause does: no request with nothing in hand.
        _time.Advance(TimeSpan.FromSeconds(280));
        var before = registry.Requests.Count;
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Blob(digest)));
        Assert.Equal(before, registry.Requests.Count);

        registry.Intercept = null;
        _time.Advance(TimeSpan.FromSeconds(20));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(another));
    }

    [Theory]
    [InlineData(OriginKind.Manifest, 404)]
    [InlineData(OriginKind.Blob, 404)]
    [InlineData(OriginKind.Blob, 410)]
    public async Task ReadAsync_UnknownDigest_IsAskedForOnceInAWhile(object kind, int status)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = kind is OriginKind.Blob ? registry.AddBlob(_bytes) : registry.AddManifest(_bytes);
        var reference = new OriginReference("reg.test", "team/app", (OriginKind)kind, digest.ToString());
        registry.AnswerWith((HttpStatusCode)status, times: 1);
        await using var setup = NewSetup(registry);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), await setup.TryAsync(reference));
        }

        await using (var stat = await setup.StatAsync(reference))
        {
            Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), (stat.Outcome, stat.Status));
        }

        Assert.Single(registry.Requests);
        Assert.Equal(["not_found", "not_found", "not_found"], ResultsOf(setup));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference with { Repository = "team/another" }));

        // Pushed meanwhile.
        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
    }

    [Fact]
    public async Task StatAsync_UnknownTag_IsAskedForEachTime()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var setup = NewSetup(registry);
        await using (var early = await setup.StatAsync(Manifest("v1")))
        {
            Assert.Equal(HttpStatusCode.NotFound, early.Status);
        }

        registry.AddManifest(_bytes, tags: "v1");
        await using var pushed = await setup.StatAsync(Manifest("v1"));

        Assert.Equal(OriginOutcome.Ok, pushed.Outcome);
    }

    [Fact]
    public async Task ReadAsync_NotFoundForNoTime_AsksEachTime()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var setup = NewSetup(registry, ("NotFoundFor", "0s"));

        for (var i = 0; i < 2; i++)
        {
            Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), await setup.TryAsync(Blob(Digest.OfSha256([]))));
        }

        Assert.Equal(2, registry.Requests.Count);
    }

    [Fact]
    public async Task ReadAsync_ManyWaitForAnUnknownDigest_OneIsSent()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        registry.Before = _ => asked.Task;
        await using var setup = NewSetup(registry, ("MaxConcurrentRequests", "1"));
        var all = Enumerable.Range(0, 10).Select(_ => setup.TryAsync(Blob(Digest.OfSha256([])))).ToList();

        asked.SetResult();

        Assert.All(await Task.WhenAll(all).WaitAsync(Wait.Longest), answer => Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), answer));
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_FasterThanThePace_WaitsWhileOtherKindsPass()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AddManifest(Bytes(100), tags: "v1");
        await using var setup = NewSetup(registry, ("RequestsPerSecond", "1"));
        for (var i = 0; i < OriginLane.BurstSeconds; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        }

        using var cancel = new CancellationTokenSource();
        var cancelled = setup.Origin.ReadAsync(Blob(digest), null, cancel.Token);
        var waiting = setup.TryAsync(Blob(digest));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Manifest("v1")));
        Assert.Equal(OriginLane.BurstSeconds, registry.RequestsFor(digest));
        Assert.False(waiting.IsCompleted || cancelled.IsCompleted);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await waiting.WaitAsync(Wait.Longest));
        Assert.Equal(OriginLane.BurstSeconds + 1, registry.RequestsFor(digest));
    }

    [Fact]
    public async Task StatAsync_FasterThanThePace_LetsBlobsPass()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AddManifest(_bytes, tags: "v1");
        await using var setup = NewSetup(registry, ("RequestsPerSecond", "1"));
        for (var i = 0; i < OriginLane.BurstSeconds; i++)
        {
            await using var stat = await setup.StatAsync(Manifest("v1"));
            Assert.Equal(OriginOutcome.Ok, stat.Outcome);
        }

        var waiting = setup.StatAsync(Manifest("v1"));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        Assert.False(waiting.IsCompleted);

        _time.Advance(TimeSpan.FromSeconds(1));
        await using var paced = await waiting.WaitAsync(Wait.Longest);
        Assert.Equal(OriginOutcome.Ok, paced.Outcome);
    }

    [Fact]
    public async Task ReadAsync_PauseBeginsWhileItWaitsForThePace_IsNotSent()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = NewSetup(registry, ("RequestsPerSecond", "1"));
        for (var i = 0; i < OriginLane.BurstSeconds; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        }

        var waiting = setup.TryAsync(Blob(digest));
        registry.AnswerWith(HttpStatusCode.ServiceUnavailable, times: 1, retryAfter: "60");
        await using (var stat = await setup.StatAsync(Blob(digest)))
        {
            Assert.Equal(HttpStatusCode.ServiceUnavailable, stat.Status);
        }

        _time.Advance(TimeSpan.FromSeconds(1));

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.ServiceUnavailable), await waiting.WaitAsync(Wait.Longest));
        Assert.Equal(OriginLane.BurstSeconds + 1, registry.Requests.Count);
        Assert.Equal(["paused"], ResultsOf(setup));
    }

    [Fact]
    public async Task ReadAsync_FromTheStore_IsNotPaced()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(store);
        await using var setup = NewSetup(registry, ("RequestsPerSecond", "1"));

        for (var i = 0; i < OriginLane.BurstSeconds * 4; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(digest), new ByteRange(i, 10)).WaitAsync(Wait.Longest));
        }

        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_Repetition_WaitsForThePace()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = NewSetup(registry, ("RequestsPerSecond", "1"), ("Retries", "1"), ("HeaderTimeout", "10m"));
        for (var i = 0; i < OriginLane.BurstSeconds - 1; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        }

        registry.AnswerWith(HttpStatusCode.BadGateway, times: 1);
        var repeated = setup.TryAsync(Blob(digest));
        await Wait.UntilAsync(() => setup.RequestsSent.GetMeasurementSnapshot().Count == OriginLane.BurstSeconds, "the first attempt has failed");
        await Wait.UntilAsync(
            () =>
            {
                // Far less in all than the time-outs of a request, as the clock of the network is another.
                if (registry.Requests.Count == OriginLane.BurstSeconds)
                {
                    _time.Advance(TimeSpan.FromMilliseconds(10));
                }

                return repeated.IsCompleted;
            },
            "the repetition has ended");

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await repeated);
        Assert.True(_time.GetUtcNow() - _time.Start >= TimeSpan.FromSeconds(1));
    }

    [Fact]
    public async Task ReadAsync_QueueIsFull_IsUnreachableAtOnce()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = NewSetup(registry, ("MaxConcurrentRequests", "1"));
        await using var first = await setup.ReadAsync(Blob(digest));
        using var cancel = new CancellationTokenSource();
        var waiting = Enumerable.Range(0, OriginLane.MaxWaiting).Select(_ => setup.Origin.ReadAsync(Blob(digest), null, cancel.Token)).ToList();

        var tooMany = setup.TryAsync(Blob(digest));
        Assert.True(tooMany.IsCompleted);
        Assert.Equal((OriginOutcome.Unreachable, default), await tooMany);

        Assert.Equal(["queue_full"], ResultsOf(setup));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(waiting));
        Assert.Equal(1, registry.RequestsFor(digest));
    }

    private static List<string> ResultsOf(OriginSetup setup) =>
        [.. setup.Unasked.GetMeasurementSnapshot().Select(measurement => string.Join(' ', measurement.Tags.Select(tag => tag.Key == "result" ? tag.Value : tag)))];

    private OriginSetup NewSetup(FakeRegistry registry, params ReadOnlySpan<(string Key, string Value)> settings) =>
        new([("reg.test", registry.Url)], null, _time, settings);
}
