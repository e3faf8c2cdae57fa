using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Origin;

/// <summary>Reading URLs that clients give, beside a registry that is configured.</summary>
public sealed class BlobStoresTests
{
    private static readonly byte[] Bytes = OriginSetup.Bytes(100_000);

    private readonly FakeTimeProvider _time = new(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));

    [Fact]
    public async Task Read_AnyUrl_ArrivesByteByByteAndWithWhatCameWithIt()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = Setup(store, store);
        var url = $"{store.Url}/v2/r//x/../y/blobs/{digest}?se=%3a%2F&sig=S3creta%2Bb%2fc%3D&d=~!*'()";

        await using var response = await setup.ReadAsync(Given(url, "Bearer S3cret-of-the-client"), new ByteRange(10, 90));

        Assert.Equal(Bytes[10..100], await OriginSetup.ReadAllAsync(response));
        Assert.Equal(Bytes.Length, response.TotalSize);
        var request = Assert.Single(store.Requests);
        Assert.Equal((url[store.Url.Length..], "bytes=10-99", "Bearer S3cret-of-the-client", null), (request.Target, request.Range, request.Authorization, request.AcceptEncoding));
    }

    [Fact]
    public async Task Read_Redirect_IsFollowedWithoutTheCredentialsAndRemembered()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        registry.RedirectBlobsTo(store);
        await using var setup = Setup(registry, store);
        var reference = Given($"{registry.Url}/v2/r/blobs/{digest}", "Bearer S3cret-x");

        for (var i = 0; i < 3; i++)
        {
            await using var response = await setup.ReadAsync(reference, new ByteRange(i, 10));
            Assert.Equal(Bytes[i..(i + 10)], await OriginSetup.ReadAllAsync(response));
        }

        Assert.Single(registry.Requests);
        Assert.Equal(3, store.Requests.Count);
        Assert.All(store.Requests, request => Assert.Null(request.Authorization));

        // What it led to expires before the client's own URL does.
        store.ExpireSignatures();
        await using var again = await setup.ReadAsync(reference, new ByteRange(0, 10));
        Assert.Equal(Bytes[..10], await OriginSetup.ReadAllAsync(again));
        Assert.Equal(2, registry.Requests.Count);
    }

    [Theory]
    [InlineData("http://169.254.169.254/latest")]
    [InlineData("http://localhost:1/x")]
    [InlineData("https://elsewhere.example/x")]
    [InlineData("ftp://x/y")]
    [InlineData("")]
    public async Task Read_RedirectToWhatIsNotAllowed_IsNotFollowed(string location)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        registry.RedirectBlobsTo(_ => location);
        await using var setup = Setup(registry, registry);

        var outcome = await setup.TryAsync(Given($"{registry.Url}/v2/r/blobs/{digest}"), new ByteRange(0, 10));

        Assert.Equal((OriginOutcome.Unreachable, default), outcome);
        Assert.Single(registry.Requests);
    }

    [Theory]
    [InlineData(HttpStatusCode.Unauthorized)]
    [InlineData(HttpStatusCode.Forbidden)]
    [InlineData(HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.Gone)]
    [InlineData(HttpStatusCode.TooManyRequests)]
    [InlineData(HttpStatusCode.InternalServerError)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task Read_Refused_IsToldAsItIsEachTime(HttpStatusCode status)
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = Setup(store, store);
        store.AnswerWith(status, times: 2, retryAfter: status is HttpStatusCode.TooManyRequests or HttpStatusCode.ServiceUnavailable ? null : "7");
        var reference = Given($"{store.Url}/v2/r/blobs/{digest}");

        Assert.Equal((OriginOutcome.Refused, status), await setup.TryAsync(reference));
        Assert.Equal((OriginOutcome.Refused, status), await setup.TryAsync(reference));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
        Assert.Equal(3, store.Requests.Count);
    }

    [Theory]
    [InlineData(HttpStatusCode.TooManyRequests)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task Read_RetryAfter_PausesThatHostAloneForAllOfTheSameCredential(HttpStatusCode status)
    {
        await using var busy = await FakeRegistry.StartAsync();
        await using var other = await FakeRegistry.StartAsync();
        var digest = busy.AddBlob(Bytes);
        other.AddBlob(Bytes);
        busy.AnswerWith(status, times: 1, retryAfter: "7");
        await using var setup = SetupOfTwo(busy, other);
        var reference = Given($"{busy.Url}/v2/r/blobs/{digest}");
        await using (var first = await setup.ReadAsync(reference))
        {
            Assert.Equal((OriginOutcome.Refused, status, TimeSpan.FromSeconds(7)), (first.Outcome, first.Status, first.RetryAfter));
        }

        // Whatever is read there and whoever waits for it, and its size, too: a signature is nobody's account.
        _time.Advance(TimeSpan.FromSeconds(2));
        foreach (var again in new[] { reference, reference with { IsUrgent = true }, Given($"{busy.Url}/v2/another/blobs/{digest}?sig=S3cretx") })
        {
            await using var read = await setup.ReadAsync(again, new ByteRange(0, 10));
            await using var stat = await setup.StatAsync(again);
            Assert.Equal((OriginOutcome.Refused, status, TimeSpan.FromSeconds(5)), (read.Outcome, read.Status, read.RetryAfter));
            Assert.Equal((OriginOutcome.Refused, status, TimeSpan.FromSeconds(5)), (stat.Outcome, stat.Status, stat.RetryAfter));
        }

        Assert.Single(busy.Requests);
        Assert.Equal(Enumerable.Repeat("paused", 6), ResultsOf(setup));
        Assert.Single(setup.Logs.GetSnapshot(), record => record.Level == LogLevel.Warning);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Given($"{other.Url}/v2/r/blobs/{digest}")));

        _time.Advance(TimeSpan.FromSeconds(5));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
    }

    [Fact]
    public async Task Read_RetryAfter_OtherCredentialsAreAsked()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        await using var setup = SetupOfTwo(registry, registry);
        var url = $"{registry.Url}/v2/r/blobs/{digest}";
        OriginReference[] all = [Given(url), Given(url, "Bearer S3cret-a"), Given(url, "Bearer S3cret-b")];
        registry.AnswerWith(HttpStatusCode.TooManyRequests, times: 2, retryAfter: "20");

        for (var i = 0; i < 3; i++)
        {
            await AssertStatusesAsync(HttpStatusCode.TooManyRequests, HttpStatusCode.TooManyRequests, HttpStatusCode.OK);
        }

        Assert.Equal(5, registry.Requests.Count);
        _time.Advance(TimeSpan.FromSeconds(20));
        await AssertStatusesAsync(HttpStatusCode.OK, HttpStatusCode.OK, HttpStatusCode.OK);

        async Task AssertStatusesAsync(params HttpStatusCode[] expected)
        {
            foreach (var (reference, status) in all.Zip(expected))
            {
                Assert.Equal(status, (await setup.TryAsync(reference with { IsUrgent = true })).Status);
            }
        }
    }

    // One answer must not keep what each client would ask for itself from being asked for until long after its container has given up.
    [Fact]
    public async Task Read_RetryAfterThatIsLong_IsAskedAgainSooner()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = SetupOfTwo(store, store);
        store.AnswerWith(HttpStatusCode.ServiceUnavailable, times: 2, retryAfter: "300");
        var reference = Given($"{store.Url}/v2/r/blobs/{digest}");
        for (var i = 1; i <= 2; i++)
        {
            await using (var told = await setup.ReadAsync(reference))
            {
                Assert.Equal((OriginOutcome.Refused, HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(300)), (told.Outcome, told.Status, told.RetryAfter));
            }

            _time.Advance(BlobPauses.Longest - TimeSpan.FromSeconds(1));
            await using (var paused = await setup.ReadAsync(reference))
            {
                Assert.Equal((OriginOutcome.Refused, HttpStatusCode.ServiceUnavailable, TimeSpan.FromSeconds(1)), (paused.Outcome, paused.Status, paused.RetryAfter));
            }

            Assert.Equal(i, store.Requests.Count);
            _time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
    }

    [Fact]
    public async Task Read_ManyOtherHosts_ThePauseStays()
    {
        await using var busy = await FakeRegistry.StartAsync();
        var digest = busy.AddBlob(Bytes);
        busy.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "200");
        await using var setup = new OriginSetup(
            [("reg.test", "http://127.0.0.1:1")],
            (_, _) => Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound)),
            _time,
            [("Blobs:Hosts:0", busy.Url), ("Blobs:Hosts:1", ".many.test"), ("Blobs:AllowedNetworks:0", "127.0.0.0/8")]);
        var reference = Given($"{busy.Url}/v2/r/blobs/{digest}");
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(reference));

        for (var i = 0; i < 3 * BlobStores.MaxStores; i++)
        {
            Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(Given($"https://made-up-{i}.many.test/x")));
            _time.Advance(TimeSpan.FromMilliseconds(3));
        }

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(reference));
        Assert.Single(busy.Requests);
    }

    [Fact]
    public async Task Read_AsManyHostsAsMayBeArePaused_AnotherIsRefusedUntilOneIsNot()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        registry.AnswerWith(HttpStatusCode.TooManyRequests, times: BlobStores.MaxStores, retryAfter: "200");
        var hosts = Enumerable.Range(0, BlobStores.MaxStores + 1).Select(i => $"http://host-{i}.test:{registry.Port}").ToList();
        await using var setup = new OriginSetup(
            [("reg.test", "http://127.0.0.1:1")],
            (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]),
            _time,
            [("Blobs:AllowedNetworks:0", "127.0.0.0/8"), .. hosts.Select((host, i) => ($"Blobs:Hosts:{i}", host))]);
        foreach (var host in hosts.SkipLast(1))
        {
            Assert.Equal((OriginOutcome.Refused, HttpStatusCode.TooManyRequests), await setup.TryAsync(Given($"{host}/v2/r/blobs/{digest}")));
        }

        var last = Given($"{hosts[^1]}/v2/r/blobs/{digest}");
        Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(last));
        Assert.Equal(BlobStores.MaxStores, registry.Requests.Count);

        _time.Advance(TimeSpan.FromSeconds(200));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(last));
    }

    [Fact]
    public async Task Read_WhereTheRedirectLedIsPaused_TheFirstHostIsNotAskedAgain()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        registry.RedirectBlobsTo(store);
        await using var setup = SetupOfTwo(registry, store);
        var reference = Given($"{registry.Url}/v2/r/blobs/{digest}");
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
        store.AnswerWith(HttpStatusCode.ServiceUnavailable, times: 1, retryAfter: "7");

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Refused, HttpStatusCode.ServiceUnavailable), await setup.TryAsync(reference));
        }

        Assert.Equal((1, 2), (registry.Requests.Count, store.Requests.Count));
        _time.Advance(TimeSpan.FromSeconds(7));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task Read_AsManyAsMayBeReadOfOneHost_OthersAndWhatIsUrgentAndSizesPass()
    {
        await using var busy = await FakeRegistry.StartAsync();
        await using var other = await FakeRegistry.StartAsync();
        var digest = busy.AddBlob(Bytes);
        other.AddBlob(Bytes);
        await using var setup = SetupOfTwo(busy, other, ("MaxConcurrentRequests", "1"));
        var reference = Given($"{busy.Url}/v2/r/blobs/{digest}");
        var first = await setup.ReadAsync(reference);
        using var cancel = new CancellationTokenSource();
        var cancelled = setup.Origin.ReadAsync(reference, null, cancel.Token);
        var waiting = setup.TryAsync(reference);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Given($"{other.Url}/v2/r/blobs/{digest}")).WaitAsync(Wait.Longest));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference with { IsUrgent = true }).WaitAsync(Wait.Longest));
        await using (var stat = await setup.StatAsync(reference).WaitAsync(Wait.Longest))
        {
            Assert.Equal((OriginOutcome.Ok, (long?)Bytes.Length), (stat.Outcome, stat.TotalSize));
        }

        Assert.False(waiting.IsCompleted || cancelled.IsCompleted);
        Assert.Equal(3, busy.Requests.Count);
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await first.DisposeAsync();
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await waiting.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Read_FasterThanThePaceOfOneHost_WaitsWhileOthersPass()
    {
        await using var busy = await FakeRegistry.StartAsync();
        await using var other = await FakeRegistry.StartAsync();
        var digest = busy.AddBlob(Bytes);
        other.AddBlob(Bytes);
        await using var setup = SetupOfTwo(busy, other, ("RequestsPerSecond", "1"));
        var reference = Given($"{busy.Url}/v2/r/blobs/{digest}");
        for (var i = 0; i < OriginLane.BurstSeconds; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
        }

        var waiting = setup.TryAsync(reference);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Given($"{other.Url}/v2/r/blobs/{digest}")).WaitAsync(Wait.Longest));
        Assert.False(waiting.IsCompleted);
        Assert.Equal(OriginLane.BurstSeconds, busy.RequestsFor(digest));

        _time.Advance(TimeSpan.FromSeconds(1));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await waiting.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Read_ContainersWaitForMoreThanThePace_NoneWaits()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = SetupOfTwo(store, store, ("RequestsPerSecond", "1"), ("MaxConcurrentRequests", "1"));
        var reference = Given($"{store.Url}/v2/r/blobs/{digest}") with { IsUrgent = true };
        var answers = new List<OriginResponse>();
        for (var i = 0; i < BlobStore.TimesForClients; i++)
        {
            answers.Add(await setup.ReadAsync(reference).WaitAsync(Wait.Longest));
        }

        Assert.All(answers, answer => Assert.Equal(OriginOutcome.Ok, answer.Outcome));

        // The next one waits: those before it that are not over are all that the host sees.
        var next = setup.ReadAsync(reference);
        await setup.ReadAsync(reference with { IsUrgent = false }).WaitAsync(Wait.Longest).ContinueWith(static read => read.Result.DisposeAsync().AsTask(), TaskScheduler.Default).Unwrap();
        Assert.Equal(BlobStore.TimesForClients + 1, store.Requests.Count);
        Assert.False(next.IsCompleted);
        await answers[0].DisposeAsync();
        answers[0] = await next.WaitAsync(Wait.Longest);
        Assert.Equal(BlobStore.TimesForClients + 2, store.Requests.Count);
        foreach (var answer in answers)
        {
            await answer.DisposeAsync();
        }
    }

    [Fact]
    public async Task Read_TooManyWaitForAHost_IsUnreachableAtOnce()
    {
        await using var busy = await FakeRegistry.StartAsync();
        await using var other = await FakeRegistry.StartAsync();
        var digest = busy.AddBlob(Bytes);
        await using var setup = SetupOfTwo(busy, other, ("MaxConcurrentRequests", "1"));
        var reference = Given($"{busy.Url}/v2/r/blobs/{digest}");
        await using var first = await setup.ReadAsync(reference);
        using var cancel = new CancellationTokenSource();
        var waiting = Enumerable.Range(0, OriginLane.MaxWaiting).Select(_ => setup.Origin.ReadAsync(reference, null, cancel.Token)).ToList();

        var tooMany = setup.TryAsync(reference);
        Assert.True(tooMany.IsCompleted);
        Assert.Equal((OriginOutcome.Unreachable, default), await tooMany);

        Assert.Equal(["queue_full"], ResultsOf(setup));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => Task.WhenAll(waiting));
        Assert.Single(busy.Requests);
    }

    [Fact]
    public async Task Read_AddressThatNoHostMayHave_IsNotConnectedTo()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);

        // The name is on the list; where it leads is not allowed.
        await using var setup = new OriginSetup(
            [("reg.test", "https://reg.test")], (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]), null, [("Blobs:Hosts:0", $"http://rebound.test:{store.Port}")]);

        await using var response = await setup.ReadAsync(Given($"http://rebound.test:{store.Port}/v2/r/blobs/{digest}"));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("not allowed", response.Error, StringComparison.Ordinal);
        Assert.Empty(store.Requests);
    }

    [Fact]
    public async Task Read_NameOfARegistryLeadsToThisMachine_IsNotConnectedTo()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(Bytes);
        await using var setup = new OriginSetup(
            [("reg.test", $"http://reg.test:{registry.Port}")], (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]), null);

        await using var response = await setup.ReadAsync(Given($"http://reg.test:{registry.Port}/v2/r/blobs/{digest}"));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("not allowed", response.Error, StringComparison.Ordinal);
        Assert.Empty(registry.Requests);
    }

    [Fact]
    public async Task Stat_SignedUrl_AsksWithGet()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = Setup(store, store);

        await using var response = await setup.StatAsync(Given($"{store.Url}/v2/r/blobs/{digest}"));

        Assert.Equal((OriginOutcome.Ok, (long?)Bytes.Length), (response.Outcome, response.TotalSize));
        Assert.Equal(("GET", "bytes=0-0"), (store.Requests[0].Method, store.Requests[0].Range));
    }

    [Fact]
    public void Given_Shown_HasNoQuery()
    {
        var reference = Given("https://h/p?sig=S3cret", "Bearer S3cret");

        Assert.DoesNotContain("S3cret", reference.ToString(), StringComparison.Ordinal);
        Assert.Equal(reference, Given("https://h/p?sig=S3cret", "Bearer S3cret"));
        Assert.NotEqual(reference, Given("https://h/p?sig=S3cret", "Bearer S3cret-other"));
        Assert.NotEqual(reference, Given("https://h/p?sig=S3cretOther", "Bearer S3cret"));
    }

    private static OriginSetup Setup(FakeRegistry registry, FakeRegistry store) => new(
        [("reg.test", registry.Url)], null, null, [("Blobs:Hosts:0", store.Url), ("Blobs:AllowedNetworks:0", "127.0.0.0/8")]);

    private OriginSetup SetupOfTwo(FakeRegistry one, FakeRegistry two, params ReadOnlySpan<(string Key, string Value)> settings) => new(
        [("reg.test", "http://127.0.0.1:1")], null, _time, [("Blobs:Hosts:0", one.Url), ("Blobs:Hosts:1", two.Url), ("Blobs:AllowedNetworks:0", "127.0.0.0/8"), .. settings]);

    private static List<object?> ResultsOf(OriginSetup setup) => [.. setup.Unasked.GetMeasurementSnapshot().Select(measurement => measurement.Tags["result"])];

    private static OriginReference Given(string url, string? authorization = null)
    {
        Assert.True(OriginUrl.TryParse(url, out var parsed));
        return OriginReference.Of(new GivenUrl(parsed, authorization), string.Empty);
    }
}
