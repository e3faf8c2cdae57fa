using System.Net;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginRedirectTests
{
    private readonly byte[] _bytes = Bytes(100_000);

    [Theory]
    [InlineData(301)]
    [InlineData(302)]
    [InlineData(303)]
    [InlineData(307)]
    [InlineData(308)]
    public async Task ReadAsync_SignedRedirect_GoesOutByteByByteWithRangeAndWithoutToken(int status)
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.RedirectBlobsTo(store, (HttpStatusCode)status);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest), new ByteRange(10, 1000));

        // The store compares the whole target and refuses an Authorization header.
        Assert.Equal(_bytes[10..1010], await ReadAllAsync(response));
        Assert.Equal("bytes=10-1009", Assert.Single(store.Requests).Range);
        Assert.Contains(registry.Requests, request => request.Authorization is not null && request.Range == "bytes=10-1009");
        Assert.Contains(setup.Logs.GetSnapshot(), record => record.Message.Contains($"{store.Url}/…/blobs/{digest}", StringComparison.Ordinal));
    }

    [Fact]
    public async Task ReadAsync_NextRange_GoesStraightToTheStoreForAWhile()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(store);
        var time = new FakeTimeProvider();
        await using var setup = new OriginSetup([("reg.test", registry.Url)], null, time);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(digest), new ByteRange(i * 1000, 1000)));
        }

        Assert.Equal((1, 3), (registry.Requests.Count, store.Requests.Count));
        time.Advance(RedirectMemory.Lifetime);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(digest), new ByteRange(0, 1000)));
        Assert.Equal((2, 4), (registry.Requests.Count, store.Requests.Count));
    }

    [Fact]
    public async Task ReadAsync_SignatureExpired_IsResolvedAnewOnce()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(store);
        await using var setup = new OriginSetup(registry);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(digest), new ByteRange(0, 1000)));

        store.ExpireSignatures();
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.PartialContent), await setup.TryAsync(Blob(digest), new ByteRange(0, 1000)));
        Assert.Equal((2, 3), (registry.Requests.Count, store.Requests.Count));

        store.AnswerWith(HttpStatusCode.Forbidden);
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Forbidden), await setup.TryAsync(Blob(digest), new ByteRange(0, 1000)));
        Assert.Equal((3, 5), (registry.Requests.Count, store.Requests.Count));
    }

    [Fact]
    public async Task StatAsync_StoreRefusesHead_ReadsOneByte()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(store);
        store.Fail(FakeFault.HeadUnauthorized);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.StatAsync(Blob(digest));

        Assert.Equal((OriginOutcome.Ok, 100_000L), (response.Outcome, response.TotalSize));
        Assert.Equal(["HEAD", "GET"], registry.Requests.Select(request => request.Method));
    }

    [Fact]
    public async Task ReadAsync_SameHostRedirect_KeepsTheToken()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.RedirectBlobsTo(path => path.Contains("team/app", StringComparison.Ordinal) ? path.Replace("team/app", "other/place", StringComparison.Ordinal) : null);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        Assert.Contains("/v2/other/place/", registry.Requests[^1].Target, StringComparison.Ordinal);
        Assert.StartsWith("Bearer ", registry.Requests[^1].Authorization, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("5", 6)]
    [InlineData("0", 1)]
    public async Task ReadAsync_Loop_EndsAtTheHopLimit(string limit, int requests)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(path => path);
        await using var setup = new OriginSetup(registry, ("MaxRedirects", limit));

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains($"more than {limit} times", response.Error, StringComparison.Ordinal);
        Assert.Equal(requests, registry.Requests.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("http://user@h.test/")]
    [InlineData("gopher://h.test/")]
    [InlineData("http://h.test/a b?sig=S3cretSignature")]
    public async Task ReadAsync_BadLocation_IsUnreachable(string location)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(_ => location);
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        AssertNothingSecret([response.Error]);
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_StoreUnreachable_TellsNoSignature()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(store);
        await store.DisposeAsync();
        await using var setup = new OriginSetup(registry);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        AssertNothingSecret([response.Error]);
    }

    [Fact]
    public async Task ReadAsync_ConfiguredNameResolvesToLoopback_IsAllowed()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        await using var setup = new OriginSetup([("reg.test", $"http://reg.test:{registry.Port}")], Loopback, null);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Theory]
    [InlineData("store.test")]
    [InlineData("127.0.0.1")]
    [InlineData("localhost")]
    [InlineData("[::ffff:127.0.0.1]")]
    public async Task ReadAsync_RegistryLeadsToThisMachine_IsRefusedWithoutAConnection(string host)
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var inside = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(_ => $"http://{host}:{inside.Port}/admin");
        await using var setup = new OriginSetup([("reg.test", $"http://reg.test:{registry.Port}")], Loopback, null);

        await using var response = await setup.ReadAsync(Blob(digest));

        Assert.Equal(OriginOutcome.Unreachable, response.Outcome);
        Assert.Contains("address is not allowed", response.Error, StringComparison.Ordinal);
        Assert.Empty(inside.Requests);
        Assert.Single(registry.Requests);
    }

    [Fact]
    public async Task ReadAsync_SamePortOfAnotherConfiguredRegistry_IsAllowed()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var store = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        store.AddBlob(_bytes);
        registry.RedirectBlobsTo(path => $"http://store.test:{store.Port}{path}");
        await using var setup = new OriginSetup(
            [("reg.test", $"http://reg.test:{registry.Port}"), ("store.test", $"http://store.test:{store.Port}")], Loopback, null);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_NameRebinds_TheCheckedAddressIsTheConnectedOne()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var inside = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RedirectBlobsTo(_ => $"http://rebind.test:{inside.Port}/admin");
        var lookups = 0;

        // First an address outside (documentation range, nobody there), later loopback: each connection looks once.
        Task<IPAddress[]> Rebind(string host, CancellationToken cancellationToken) => Task.FromResult(
            host == "reg.test" ? new[] { IPAddress.Loopback } : Interlocked.Increment(ref lookups) == 1 ? [IPAddress.Parse("192.0.2.1"), IPAddress.Loopback] : [IPAddress.Loopback]);

        await using var setup = new OriginSetup([("reg.test", $"http://reg.test:{registry.Port}")], Rebind, null, ("ConnectTimeout", "100ms"));
        for (var i = 0; i < 2; i++)
        {
            Assert.Equal((OriginOutcome.Unreachable, default), await setup.TryAsync(Blob(digest)));
        }

        Assert.True(lookups >= 2);
        Assert.Empty(inside.Requests);
    }

    private static Task<IPAddress[]> Loopback(string host, CancellationToken cancellationToken) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]);
}
