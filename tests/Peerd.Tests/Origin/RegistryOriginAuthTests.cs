using System.Net;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

/// <summary>With whose credentials registries are read.</summary>
public sealed class RegistryOriginAuthTests : IAsyncLifetime
{
    private const string Repository = "team/app";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-auth-");
    private PrivateRegistry _registry = null!;
    private byte[] _bytes = null!;
    private Digest _digest;

    private string CredentialsFile => Path.Combine(_folder.FullName, "config.json");

    public async ValueTask InitializeAsync()
    {
        _registry = await PrivateRegistry.StartAsync();
        _bytes = _registry.AddBlob(Repository, 1000, out _digest);
        _registry.Allow("alice", Repository);
    }

    public async ValueTask DisposeAsync()
    {
        await _registry.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task ReadAsync_RelayWithoutCredential_TellsTheChallengeAndAsksForNoToken()
    {
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));

        foreach (var reference in new[] { Blob(_digest), Blob(_digest) with { Credential = CallerCredential.None } })
        {
            await using var answer = await setup.ReadAsync(reference);

            Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), (answer.Outcome, answer.Status));
            Assert.Equal(_registry.ChallengeOf(Repository), answer.Challenge?.ToString());
        }

        Assert.Equal([401, 401], _registry.Registry.Requests.Select(request => request.Status));
    }

    [Fact]
    public async Task ReadAsync_CallersToken_IsSentToTheRegistryAndNotToItsStore()
    {
        await using var store = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));
        _registry.Registry.RedirectBlobsTo(store);

        await using var answer = await setup.ReadAsync(Blob(_digest) with { Credential = TokenOf("alice") });

        Assert.Equal(_bytes, await ReadAllAsync(answer));
        Assert.Equal([$"Bearer {PrivateRegistry.TokenOf("alice", Repository)}"], _registry.AuthorizationsSeen);
        Assert.Equal([null], store.Requests.Select(request => request.Authorization));
    }

    [Fact]
    public async Task ReadAsync_RedirectOfACaller_IsNotThatOfAnother()
    {
        await using var store = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));
        _registry.Registry.RedirectBlobsTo(store);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest) with { Credential = TokenOf("alice") }));

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest) with { Credential = CallerCredential.None }));
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest) with { Credential = TokenOf("mallory") }));
        Assert.Single(store.Requests);

        // Its own it finds again without the registry.
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest) with { Credential = TokenOf("alice") }));
        Assert.Equal(2, store.Requests.Count);
        Assert.Equal(3, _registry.Registry.Requests.Count);
    }

    [Fact]
    public async Task ReadAsync_NotFoundForACaller_IsAskedAgainForAnother()
    {
        _registry.Allow("bob", "team/other");
        _registry.Allow("alice", "team/other");
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));
        OriginReference Other(string user) => new("reg.test", "team/other", OriginKind.Blob, _digest.ToString()) { Credential = new CallerCredential($"Bearer {PrivateRegistry.TokenOf(user, "team/other")}") };

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), await setup.TryAsync(Other("alice")));
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), await setup.TryAsync(Other("alice")));
        Assert.Single(_registry.Registry.Requests);
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.NotFound), await setup.TryAsync(Other("bob")));
        Assert.Equal(2, _registry.Registry.Requests.Count);
    }

    [Fact]
    public async Task ReadAsync_StaticPassword_GetsATokenForIt()
    {
        WriteCredentials($$$$"""{"auths":{"https://{{{{RegistryName}}}}/v1/":{"auth":"{{{{Base64("alice")}}}}"}}}""");
        await using var setup = Static();

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));

        Assert.Equal([401, 200, 200, 200], _registry.Registry.Requests.Select(request => request.Status));
        Assert.Equal(PrivateRegistry.BasicOf("alice"), _registry.Registry.Requests[1].Authorization);
    }

    [Fact]
    public async Task ReadAsync_StaticIdentityToken_IsARefreshToken()
    {
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"identitytoken":"{{{{PrivateRegistry.PasswordOf("alice")}}}}","auth":"x"}}}""");
        await using var setup = Static();

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));

        Assert.Equal("POST", _registry.Registry.Requests[1].Method);
        Assert.Null(_registry.Registry.Requests[1].Authorization);
    }

    [Fact]
    public async Task ReadAsync_StaticAtARegistryThatAsksForThePassword_SendsItThereOnly()
    {
        _registry.IsBasic = true;
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"username":"alice","password":"{{{{PrivateRegistry.PasswordOf("alice")}}}}"}}}""");
        await using var store = await FakeRegistry.StartAsync();
        await using var setup = Static();
        _registry.Registry.RedirectBlobsTo(store);

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));
        _registry.AddBlob(Repository, 10, out var second);
        _registry.Registry.RedirectBlobsTo(store);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(second, RegistryName)));

        // From the second on it goes with the first request.
        Assert.Equal([null, PrivateRegistry.BasicOf("alice"), PrivateRegistry.BasicOf("alice")], _registry.AuthorizationsSeen);
        Assert.All(store.Requests, request => Assert.Null(request.Authorization));
    }

    [Fact]
    public async Task ReadAsync_SeveralRegistriesAndOneFile_EachSeesItsOwnCredentialsOnly()
    {
        await using var second = await PrivateRegistry.StartAsync();
        await using var relayed = await PrivateRegistry.StartAsync();
        second.AddBlob(Repository, 1000, out var ofSecond);
        second.Allow("bob", Repository);
        relayed.AddBlob(Repository, 1000, out var ofRelayed);
        relayed.Allow("carol", Repository);
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"auth":"{{{{Base64("alice")}}}}"},"second.test":{"auth":"{{{{Base64("bob")}}}}"}}}""");
        await using var setup = new OriginSetup(
            [(RegistryName, _registry.Registry.Url), ("second.test", second.Registry.Url), ("relayed.test", relayed.Registry.Url)],
            null,
            null,
            ("Registries:0:Auth", "static"),
            ("Registries:1:Auth", "static"),
            ("Registries:2:Auth", "relay"),
            ("CredentialsFile", CredentialsFile));

        for (var i = 0; i < 2; i++)
        {
            var outcomes = await Task.WhenAll(
                setup.TryAsync(Blob(_digest, RegistryName)),
                setup.TryAsync(Blob(ofSecond, "second.test")),
                setup.TryAsync(Blob(ofRelayed, "relayed.test") with { Credential = TokenOf("carol") }));
            Assert.All(outcomes, outcome => Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), outcome));
        }

        // Without its caller's token there is none for the third.
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(ofRelayed, "relayed.test")));

        AssertSeen(_registry, null, PrivateRegistry.BasicOf("alice"), BearerOf("alice"), BearerOf("alice"));
        AssertSeen(second, null, PrivateRegistry.BasicOf("bob"), BearerOf("bob"), BearerOf("bob"));
        AssertSeen(relayed, BearerOf("carol"), BearerOf("carol"), null);

        static string BearerOf(string user) => TokenOf(user).Authorization!;

        static void AssertSeen(PrivateRegistry registry, params string?[] expected) =>
            Assert.Equal(expected, registry.Registry.Requests.Select(request => request.Authorization));
    }

    [Fact]
    public async Task ReadAsync_StaticFileChanges_IsReadAgain()
    {
        await using var setup = Static(new Microsoft.Extensions.Time.Testing.FakeTimeProvider { AutoAdvanceAmount = TimeSpan.FromSeconds(2) });

        // None yet, nonsense, somebody without rights, and at last the right one.
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest, RegistryName)));
        WriteCredentials("{ nonsense");
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest, RegistryName)));
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"auth":"{{{{Base64("mallory")}}}}"}}}""");
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest, RegistryName)));
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"auth":"{{{{Base64("alice")}}}}"}}}""");
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));

        // What was read before stays when the file goes.
        File.Delete(CredentialsFile);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest, RegistryName)));
    }

    [Theory]
    [InlineData("http://tokens.elsewhere.test/token", "", false)]
    [InlineData("http://tokens.elsewhere.test/token", "tokens.elsewhere.test", true)]
    [InlineData("http://tokens.elsewhere.test:8080/token", "tokens.elsewhere.test", false)]
    [InlineData("http://tokens.elsewhere.test:8080/token", "tokens.elsewhere.test:8080", true)]
    [InlineData("http://auth.reg.test/token", "", true)]
    [InlineData("http://images.reg.test:5001/token", "", true)]
    [InlineData("http://evilreg.test/token", "", false)]
    [InlineData("http://other.test/token", "", false)]
    [InlineData("http://auth.reg.test.evil.test/token", "", false)]
    public void IsTokenServer_Realm_OnlyTheRegistrysOwnOrNamed(string realm, string named, bool expected)
    {
        Assert.True(RegistryEndpoint.TryCreate("reg.test:5000", "http://images.reg.test", out var endpoint));

        Assert.Equal(expected, endpoint.With(RegistryAuth.Static, named.Length > 0 ? [named] : []).IsTokenServer(new Uri(realm)));
    }

    [Fact]
    public void IsTokenServer_DockerHub_IsTheWellKnownOne()
    {
        Assert.True(RegistryEndpoint.TryCreate("docker.io", null, out var hub));
        Assert.True(hub.IsTokenServer(new Uri("https://auth.docker.io/token")));
        Assert.False(hub.IsTokenServer(new Uri("https://auth.docker.io.evil.test/token")));
    }

    [Fact]
    public async Task StatAsync_TokenNoLongerTaken_IsRefusedThoughTheStoreStillServes()
    {
        await using var store = await FakeRegistry.StartAsync();
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));
        _registry.Registry.RedirectBlobsTo(store);
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(Blob(_digest) with { Credential = TokenOf("alice") }));

        _registry.Forbid("alice", Repository);
        await using var answer = await setup.StatAsync(Blob(_digest) with { Credential = TokenOf("alice") });

        Assert.Equal(HttpStatusCode.Unauthorized, answer.Status);
    }

    [Fact]
    public async Task ReadAsync_CallersPassword_OnlyForARegistryThatAsksForPasswords()
    {
        await using var setup = new OriginSetup(_registry.Registry, ("Auth", "relay"));
        var password = Blob(_digest) with { Credential = new CallerCredential(PrivateRegistry.BasicOf("alice")) };

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(password));
        Assert.All(_registry.AuthorizationsSeen, Assert.Null);

        _registry.IsBasic = true;
        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(password));
        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(password));
    }

    [Fact]
    public async Task ReadAsync_StaticAndTheRealmIsElsewhere_NothingIsSentThere()
    {
        await using var elsewhere = await FakeRegistry.StartAsync();
        WriteCredentials($$$$"""{"auths":{"{{{{RegistryName}}}}":{"auth":"{{{{Base64("alice")}}}}"}}}""");
        await using var setup = Static();
        _registry.Registry.Intercept = context =>
        {
            context.Response.StatusCode = 401;
            context.Response.Headers.WWWAuthenticate = $"Bearer realm=\"http://localhost:{elsewhere.Port}/token\",service=\"s\"";
            return Task.FromResult(true);
        };

        Assert.Equal((OriginOutcome.Refused, HttpStatusCode.Unauthorized), await setup.TryAsync(Blob(_digest, RegistryName)));
        Assert.Empty(elsewhere.Requests);
    }

    private const string RegistryName = "reg.test";

    private static CallerCredential TokenOf(string user) => new($"Bearer {PrivateRegistry.TokenOf(user, Repository)}");

    private static string Base64(string user) => Convert.ToBase64String(System.Text.Encoding.UTF8.GetBytes($"{user}:{PrivateRegistry.PasswordOf(user)}"));

    private void WriteCredentials(string json) => File.WriteAllText(CredentialsFile, json);

    private OriginSetup Static(TimeProvider? time = null) =>
        new([(RegistryName, _registry.Registry.Url)], null, time, ("Registries:0:Auth", "static"), ("CredentialsFile", CredentialsFile));
}
