using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

/// <summary>Reading URLs that clients give, beside a registry that is configured.</summary>
public sealed class BlobStoresTests
{
    private static readonly byte[] Bytes = OriginSetup.Bytes(100_000);

    [Fact]
    public async Task Read_AnyUrl_ArrivesByteByByteAndWithWhatCameWithIt()
    {
        await using var store = await FakeRegistry.StartAsync();
        var digest = store.AddBlob(Bytes);
        await using var setup = Setup(store, store);
        var url = $"{store.Url}/v2/r//x/../y/blobs/{digest}?se=%3a%2F&sig=a%2Bb%2fc%3D&d=~!*'()";

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
        var reference = Given($"{registry.Url}/v2/r/blobs/{digest}", "Bearer x");

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
        store.AnswerWith(status, times: 2, retryAfter: "7");
        var reference = Given($"{store.Url}/v2/r/blobs/{digest}");

        Assert.Equal((OriginOutcome.Refused, status), await setup.TryAsync(reference));
        Assert.Equal((OriginOutcome.Refused, status), await setup.TryAsync(reference));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(reference));
        Assert.Equal(3, store.Requests.Count);
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
        Assert.NotEqual(reference, Given("https://h/p?sig=S3cret", "Bearer other"));
        Assert.NotEqual(reference, Given("https://h/p?sig=Other", "Bearer S3cret"));
    }

    private static OriginSetup Setup(FakeRegistry registry, FakeRegistry store) => new(
        [("reg.test", registry.Url)], null, null, [("Blobs:Hosts:0", store.Url), ("Blobs:AllowedNetworks:0", "127.0.0.0/8")]);

    private static OriginReference Given(string url, string? authorization = null)
    {
        Assert.True(OriginUrl.TryParse(url, out var parsed));
        return OriginReference.Of(new GivenUrl(parsed, authorization), string.Empty);
    }
}
