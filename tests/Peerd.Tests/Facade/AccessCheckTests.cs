using System.Diagnostics.Metrics;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

public sealed class AccessCheckTests : IDisposable
{
    private static readonly OriginReference Alice = new("reg.test", "team/app", OriginKind.Blob, "sha256:x") { Credential = new CallerCredential("Bearer S3cret-alice") };
    private static readonly OriginReference Mallory = Alice with { Credential = new CallerCredential("Bearer S3cret-mallory") };

    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly FakeTimeProvider _time = new();
    private readonly ScriptedOrigin _origin = new();

    public void Dispose() => _services.Dispose();

    [Fact]
    public async Task RefusalAsync_Node_AsksNobody()
    {
        Assert.Null(await RefusalAsync(Check("node"), Mallory));
        Assert.Equal(0, _origin.Asked);
    }

    [Fact]
    public async Task RefusalAsync_Allowed_IsAskedAgainAfterTheLifetimeAndThenRefused()
    {
        var check = Check("upstream");
        Assert.Null(await RefusalAsync(check, Alice));
        _time.Advance(TimeSpan.FromMinutes(4.9));
        Assert.Null(await RefusalAsync(check, Alice));
        Assert.Equal(1, _origin.Asked);

        // The right is gone.
        _origin.Answer = HttpStatusCode.Unauthorized;
        _time.Advance(TimeSpan.FromMinutes(0.2));
        Assert.Equal(HttpStatusCode.Unauthorized, (await RefusalAsync(check, Alice))?.Status);
        Assert.Equal(2, _origin.Asked);
    }

    [Fact]
    public async Task RefusalAsync_Allowed_IsForThisCredentialAndThisContentOnly()
    {
        var check = Check("upstream");
        Assert.Null(await RefusalAsync(check, Alice));
        _origin.Answer = HttpStatusCode.NotFound;

        foreach (var other in new[]
        {
            Mallory, Alice with { Credential = CallerCredential.None }, Alice with { Repository = "team/other" }, Alice with { Reference = "sha256:y" },
            Alice with { Kind = OriginKind.Manifest }, Alice with { Registry = "other.test" },
        })
        {
            Assert.NotNull(await RefusalAsync(check, other));
        }
    }

    [Fact]
    public async Task RefusalAsync_RefusedAgainAndAgain_AsksOnceInAMoment()
    {
        var check = Check("upstream");
        _origin.Answer = HttpStatusCode.Forbidden;
        for (var i = 0; i < 10; i++)
        {
            Assert.Equal(HttpStatusCode.Forbidden, (await RefusalAsync(check, Mallory))?.Status);
        }

        Assert.Equal(1, _origin.Asked);
        _origin.Answer = HttpStatusCode.OK;
        _time.Advance(TimeSpan.FromSeconds(2));
        Assert.Null(await RefusalAsync(check, Mallory));
    }

    [Theory]
    [InlineData("deny", HttpStatusCode.ServiceUnavailable, false)]
    [InlineData("deny", HttpStatusCode.TooManyRequests, false)]
    [InlineData("deny", HttpStatusCode.GatewayTimeout, false)]
    [InlineData("known", HttpStatusCode.ServiceUnavailable, true)]
    [InlineData("known", (HttpStatusCode)0, true)]
    public async Task RefusalAsync_OriginDown_AsConfigured(string whenDown, HttpStatusCode answer, bool isKnown)
    {
        var check = Check("upstream", whenDown);
        Assert.Null(await RefusalAsync(check, Alice));
        _origin.Answer = answer;
        _time.Advance(TimeSpan.FromMinutes(6));

        Assert.Equal(isKnown, await RefusalAsync(check, Alice) is null);
        Assert.NotNull(await RefusalAsync(check, Mallory));

        _time.Advance(TimeSpan.FromHours(24));
        Assert.NotNull(await RefusalAsync(check, Alice));
    }

    [Fact]
    public async Task RefusalAsync_OriginSaysNothing_TheSameClientDoesNotWaitAgain()
    {
        var check = Check("upstream", "known");
        Assert.Null(await RefusalAsync(check, Alice));
        _time.Advance(TimeSpan.FromMinutes(6));
        _origin.Answer = null;

        var waiting = RefusalAsync(check, Alice);
        _time.Advance(TimeSpan.FromSeconds(3));
        Assert.Null(await waiting);

        Assert.Null(await RefusalAsync(check, Alice));
        Assert.Equal(2, _origin.Asked);
    }

    // A registry that is slow to one, or limits one, or a queue that is full here.
    [Theory]
    [InlineData(null, false)]
    [InlineData(HttpStatusCode.TooManyRequests, false)]
    [InlineData(HttpStatusCode.ServiceUnavailable, true)]
    [InlineData((HttpStatusCode)0, true)]
    public async Task RefusalAsync_AnotherCallerIsSlow_IsNotDown(HttpStatusCode? answer, bool isOwnWord)
    {
        var check = Check("upstream");
        (_origin.Answer, _origin.IsOwnWord) = (answer, isOwnWord);
        var waiting = RefusalAsync(check, Mallory);
        _time.Advance(TimeSpan.FromSeconds(3));
        Assert.NotNull(await waiting);
        _origin.Answer = HttpStatusCode.OK;

        Assert.Null(await RefusalAsync(check, Alice));
        Assert.Equal(2, _origin.Asked);
    }

    [Theory]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    [InlineData((HttpStatusCode)0)]
    public async Task RefusalAsync_OriginDown_NobodyAsksForAMomentAndThenSomebodyDoes(HttpStatusCode answer)
    {
        var check = Check("upstream");
        _origin.Answer = answer;
        Assert.NotNull(await RefusalAsync(check, Mallory));
        _time.Advance(TimeSpan.FromSeconds(1.5));
        Assert.NotNull(await RefusalAsync(check, Alice));
        Assert.Equal(1, _origin.Asked);
        _origin.Answer = HttpStatusCode.OK;

        // Who asks all the time does not make it longer.
        _time.Advance(TimeSpan.FromSeconds(0.6));
        Assert.Null(await RefusalAsync(check, Alice));
    }

    private static Task<OriginResponse?> RefusalAsync(AccessCheck check, OriginReference reference) => check.RefusalAsync(reference, TestContext.Current.CancellationToken);

    private AccessCheck Check(string access, string whenDown = "deny") => new(
        _origin,
        Options.Create(new FacadeOptions { Access = access, AccessWhenDown = whenDown }),
        new FacadeMetrics(_services.GetRequiredService<IMeterFactory>()),
        _time);

    /// <summary>An origin that gives the same answer to everybody; null: none at all, 0: that it cannot be reached.</summary>
    private sealed class ScriptedOrigin : IOrigin
    {
        public HttpStatusCode? Answer { get; set; } = HttpStatusCode.OK;

        public bool IsOwnWord { get; set; }

        public int Asked { get; private set; }

        public bool Serves(string registry) => true;

        public bool Relays(string registry) => true;

        public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken) => throw new NotSupportedException();

        public async Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken)
        {
            Asked++;
            if (Answer is not { } status)
            {
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
                throw new InvalidOperationException();
            }

            return new OriginResponse
            {
                Outcome = status == HttpStatusCode.OK ? OriginOutcome.Ok : status == default(HttpStatusCode) ? OriginOutcome.Unreachable : OriginOutcome.Refused,
                Status = status,
                IsOwnWord = IsOwnWord,
            };
        }
    }
}
