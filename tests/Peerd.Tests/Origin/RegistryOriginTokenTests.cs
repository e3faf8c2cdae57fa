using System.Net;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class RegistryOriginTokenTests
{
    private readonly byte[] _bytes = Bytes(1000);

    [Fact]
    public async Task ReadAsync_Challenged_GetsOneTokenAndKeepsIt()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        await using var setup = new OriginSetup(registry);

        for (var i = 0; i < 3; i++)
        {
            Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        }

        Assert.Equal([401, 200, 200, 200, 200], registry.Requests.Select(request => request.Status));
        Assert.Equal("/token?service=fake%2C%20registry&scope=repository%3Ateam%2Fapp%3Apull", registry.Requests[1].Target);
        Assert.Null(registry.Requests[1].Authorization);
    }

    [Fact]
    public async Task ReadAsync_ManyAtOnce_AskForOneToken()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        await using var setup = new OriginSetup(registry);

        await Task.WhenAll(Enumerable.Range(0, 12).Select(async _ => Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)))));

        Assert.Equal(1, registry.TokenRequests);
    }

    [Fact]
    public async Task ReadAsync_OneOfManyIsCancelled_OthersGetTheToken()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        var asked = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        registry.Intercept = async context =>
        {
            if (context.Request.Path == "/token")
            {
                asked.TrySetResult();
                await go.Task;
            }

            return false;
        };
        await using var setup = new OriginSetup(registry);
        using var cancel = new CancellationTokenSource();

        var first = setup.Origin.ReadAsync(Blob(digest), null, cancel.Token);
        await asked.Task.WaitAsync(TimeSpan.FromSeconds(30));
        var second = setup.TryAsync(Blob(digest));
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first);
        go.SetResult();

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await second);
        Assert.Equal(1, registry.TokenRequests);
    }

    [Theory]
    [InlineData("""{"token":"S3cret","expires_in":300}""", 269, 1)]
    [InlineData("""{"token":"S3cret","expires_in":300}""", 271, 2)]
    [InlineData("""{"access_token":"S3cret"}""", 47, 1)]
    [InlineData("""{"access_token":"S3cret"}""", 49, 2)]
    [InlineData("""{"token":"","access_token":"S3cret","expires_in":"100"}""", 79, 1)]
    [InlineData("""{"token":"","access_token":"S3cret","expires_in":"100"}""", 81, 2)]
    [InlineData("""{"token":"S3cret","expires_in":-5,"issued_at":"x","extra":[1]}""", 49, 2)]
    public async Task ReadAsync_TokenNearItsEnd_IsRefreshedBefore(string answer, int secondsLater, int requests)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = token => Results.Text(answer.Replace("\"S3cret\"", $"\"{token}\"", StringComparison.Ordinal));
        var time = new FakeTimeProvider();
        await using var setup = new OriginSetup([("reg.test", registry.Url)], null, time);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));
        time.Advance(TimeSpan.FromSeconds(secondsLater));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        Assert.Equal(requests, registry.TokenRequests);
    }

    [Fact]
    public async Task ReadAsync_TokenRevoked_IsRenewedOnce()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        await using var setup = new OriginSetup(registry);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        registry.RevokeTokens();
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(digest)));

        Assert.Equal(2, registry.TokenRequests);
    }

    [Fact]
    public async Task ReadAsync_TokenNotTaken_IsRefusedAfterOneRepetition()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = _ => Results.Text("""{"token":"S3cret-another"}""");
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(digest)));
        Assert.Equal([401, 200, 401], registry.Requests.Select(request => request.Status));
    }

    // The path tells which of the token servers at a host it is; the query tells who asks for what.
    [Fact]
    public async Task ReadAsync_TokenServerRefuses_ThePathOfTheRealmIsTold()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = _ => Results.StatusCode(403);
        await using var setup = new OriginSetup(registry);

        await using var answer = await setup.ReadAsync(Blob(digest));

        Assert.EndsWith($"the token server {registry.Url}/token answered 403", answer.Error, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("Basic realm=\"x\"")]
    [InlineData("Bearer service=\"x\"")]
    [InlineData("Bearer realm=\"/token\"")]
    [InlineData("Bearer realm=\"ftp://x.test/\"")]
    [InlineData("Bearer realm=\"http://user:S3cretPw@x.test/\"")]
    [InlineData("Nonsense")]
    public async Task ReadAsync_ChallengeWithoutAnswer_IsRefused(string challenge)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.Challenge = challenge;
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(digest)));
        Assert.Single(registry.Requests);
    }

    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("store.test")]
    public async Task ReadAsync_RealmOnThisMachine_IsNotAsked(string host)
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var inside = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.Challenge = $"Bearer realm=\"http://{host}:{inside.Port}/token\"";
        await using var setup = new OriginSetup(
            [("reg.test", $"http://reg.test:{registry.Port}")], (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Loopback]), null);

        var (outcome, _) = await setup.TryAsync(Blob(digest));

        Assert.NotEqual(OriginOutcome.Ok, outcome);
        Assert.Empty(inside.Requests);
    }

    [Fact]
    public async Task GetAsync_ClearTextRealmOfATlsRegistry_IsRefused()
    {
        await using var registry = await FakeRegistry.StartAsync();
        Assert.True(RegistryEndpoint.TryCreate("reg.test", "https://127.0.0.1", out var endpoint));
        var settings = OriginSettings.From(new OriginOptions());
        using var transport = new OriginTransport(settings, BlobHosts.From(new BlobOptions(), settings), (_, _) => throw new InvalidOperationException(), TimeProvider.System);
        var tokens = new TokenSource(transport, settings, TimeProvider.System);

        var answer = await tokens.GetAsync(endpoint, new BearerChallenge($"{registry.Url}/token", "s", "x"), null, null, new OriginPause("it", TimeProvider.System, NullLogger.Instance), TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.Unauthorized, answer.Failure?.Status);
        Assert.Empty(registry.Requests);
    }

    [Theory]
    [InlineData(401, 401, 2)]
    [InlineData(403, 401, 2)]
    [InlineData(404, 401, 2)]
    [InlineData(302, 401, 2)]
    [InlineData(429, 429, 2)]
    [InlineData(503, 503, 6)]
    public async Task ReadAsync_TokenServerRefuses_IsRefused(int tokenStatus, int status, int requests)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = _ => Results.StatusCode(tokenStatus);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, (HttpStatusCode)status), await setup.TryAsync(Blob(digest)));
        Assert.Equal(requests, registry.Requests.Count);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("[]")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"token":null}""")]
    [InlineData("""{"token":7}""")]
    [InlineData("""{"token":"S3cret b"}""")]
    [InlineData("{\"token\":\"S3cret\\r\\nX-Evil: 1\"}")]
    public async Task ReadAsync_TokenAnswerMalformed_IsRefused(string answer)
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = _ => Results.Text(answer);
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(digest)));
    }

    [Fact]
    public async Task ReadAsync_TokenAnswerHuge_IsRefused()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(_bytes);
        registry.RequiresToken = true;
        registry.TokenAnswer = token => Results.Text($$"""{"token":"{{token}}","pad":"{{new string('x', 70_000)}}"}""");
        await using var setup = new OriginSetup(registry);

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(digest)));
    }
}
