using System.Net;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginRetryTests
{
    private readonly byte[] _bytes = Bytes(1000);

    [Theory]
    [InlineData(401, 1)]
    [InlineData(403, 1)]
    [InlineData(404, 1)]
    [InlineData(410, 1)]
    [InlineData(416, 1)]
    [InlineData(429, 1)]
    [InlineData(451, 1)]
    [InlineData(501, 1)]
    [InlineData(408, 3)]
    [InlineData(500, 3)]
    [InlineData(502, 3)]
    [InlineData(503, 3)]
    [InlineData(504, 3)]
    public async Task ReadAsync_ErrorStatus_IsCarriedAfterSoManyRequests(int status, int requests)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith((HttpStatusCode)status);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), await setup.TryAsync(Blob(digest)));
        Assert.Equal(requests, registry.Requests.Count);
    }

    [Theory]
    [InlineData(204)]
    [InlineData(304)]
    [InlineData(300)]
    public async Task ReadAsync_OtherStatus_IsUnreachable(int status)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith((HttpStatusCode)status);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_ServerErrorThatPasses_IsOk()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith(HttpStatusCode.ServiceUnavailable, times: 2);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_ConnectionsDroppedThenWell_IsOk()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.Drop, times: 3);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_NobodyListens_IsUnreachable()
    {
        using var closed = new ClosedPort();
        await using var setup = new OriginSetup([("reg.test", $"http://127.0.0.1:{closed.Number}")], null, null);

        await using var response = await setup.ReadAsync(Blob(Digest.OfSha256([])));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("ConnectionRefused", response.Error, StringComparison.Ordinal);
        Assert.Equal(4, setup.RequestsSent.GetMeasurementSnapshot().Count);
    }

    [Fact]
    public async Task ReadAsync_BodyBreaks_IsNotRepeated()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.Fail(FakeFault.Truncate);
        await using var setup = new OriginSetup(registry);
        await using var response = await setup.ReadAsync(Blob(digest));

        await Assert.ThrowsAnyAsync<IOException>(() => response.Body.CopyToAsync(Stream.Null));

        Assert.Equal(1, registry.RequestsFor(digest));
    }

    [Theory]
    [InlineData(429, "7", 7)]
    [InlineData(503, "0", 0)]
    [InlineData(503, "120", 120)]
    [InlineData(429, "Thu, 01 Jan 2026 00:01:00 GMT", 60)]
    [InlineData(429, "Wed, 31 Dec 2025 00:00:00 GMT", 0)]
    public async Task ReadAsync_RetryAfter_IsToldNotWaitedFor(int status, string header, int seconds)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith((HttpStatusCode)status, retryAfter: header);
        var time = new FakeTimeProvider(new DateTimeOffset(2026, 1, 1, 0, 0, 0, TimeSpan.Zero));
        await using var setup = new OriginSetup([("reg.test", registry.Url)], null, time);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status, TimeSpan.FromSeconds(seconds)), (response.Outcome, response.Status, response.RetryAfter));
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_MalformedRetryAfter_IsIgnored()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.AnswerWith(HttpStatusCode.TooManyRequests, retryAfter: "soon");
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Null(response.RetryAfter);
    }
}
