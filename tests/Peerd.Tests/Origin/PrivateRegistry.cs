using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.WebUtilities;
using Peerd.Contracts;

namespace Peerd.Tests.Origin;

/// <summary>
/// A registry whose repositories are for some users only, with a token server. Tokens name their user and repository; what a
/// repository does not hold is not there for anybody. Thread-safe once it is set up.
/// </summary>
internal sealed class PrivateRegistry : IAsyncDisposable
{
    /// <summary>Begin of each password: must never be seen in a log.</summary>
    public const string PasswordPrefix = "S3cretPassword";

    private readonly HashSet<(string User, string Repository)> _rights = [];
    private readonly HashSet<(string Repository, string Reference)> _held = [];

    private PrivateRegistry(FakeRegistry registry)
    {
        Registry = registry;
        registry.Intercept = InterceptAsync;
    }

    public FakeRegistry Registry { get; }

    /// <summary>Asks for a password itself instead of sending to the token server.</summary>
    public bool IsBasic { get; set; }

    public static async Task<PrivateRegistry> StartAsync() => new(await FakeRegistry.StartAsync());

    public static string PasswordOf(string user) => PasswordPrefix + user;

    public static string BasicOf(string user) => $"Basic {Convert.ToBase64String(Encoding.UTF8.GetBytes($"{user}:{PasswordOf(user)}"))}";

    /// <summary>The token that the token server gives a user for a repository, whatever rights it has there.</summary>
    public static string TokenOf(string user, string repository) => $"{FakeRegistry.TokenPrefix}{Convert.ToHexString(Encoding.UTF8.GetBytes($"{user}\n{repository}"))}";

    /// <summary>The challenge for a repository, as it is sent.</summary>
    public string ChallengeOf(string repository) => IsBasic
        ? "Basic realm=\"private\""
        : $"Bearer realm=\"{Registry.Url}/token\",service=\"private, registry\",scope=\"repository:{repository}:pull\"";

    public void Allow(string user, string repository) => _rights.Add((user, repository));

    public void Forbid(string user, string repository) => _rights.Remove((user, repository));

    public byte[] AddBlob(string repository, int size, out Digest digest)
    {
        var bytes = new byte[size];
        Random.Shared.NextBytes(bytes);
        digest = Registry.AddBlob(bytes);
        _held.Add((repository, digest.ToString()));
        return bytes;
    }

    public Digest AddManifest(string repository, byte[] bytes, string tag)
    {
        var digest = Registry.AddManifest(bytes, tags: tag);
        _held.UnionWith([(repository, digest.ToString()), (repository, tag)]);
        return digest;
    }

    /// <summary>Authorization headers that reached the registry or its store, token requests aside.</summary>
    public IEnumerable<string?> AuthorizationsSeen => Registry.Requests.Where(request => !request.Target.StartsWith("/token", StringComparison.Ordinal)).Select(request => request.Authorization);

    public ValueTask DisposeAsync() => Registry.DisposeAsync();

    private async Task<bool> InterceptAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        if (path == "/token")
        {
            await GiveTokenAsync(context);
            return true;
        }

        if (path.Split('/') is not ["", "v2", .. var middle, _, var reference])
        {
            return false;
        }

        var repository = string.Join('/', middle);
        if (!MayRead(context.Request.Headers.Authorization, repository))
        {
            context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            context.Response.Headers.WWWAuthenticate = ChallengeOf(repository);
            return true;
        }

        if (!_held.Contains((repository, reference)))
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
            return true;
        }

        return false;
    }

    private bool MayRead(string? authorization, string repository) =>
        _rights.Any(right => right.Repository == repository && authorization == (IsBasic ? BasicOf(right.User) : $"Bearer {TokenOf(right.User, repository)}"));

    // Less scope than asked for is no error: the registry then refuses.
    private async Task GiveTokenAsync(HttpContext context)
    {
        var form = HttpMethods.IsPost(context.Request.Method) ? await context.Request.ReadFormAsync() : null;
        var parameters = form?.ToDictionary(pair => pair.Key, pair => pair.Value, StringComparer.Ordinal) ?? QueryHelpers.ParseQuery(context.Request.QueryString.Value);
        var authorization = context.Request.Headers.Authorization.ToString();
        var user = form is null ? _rights.Select(right => right.User).FirstOrDefault(user => authorization == BasicOf(user))
            : _rights.Select(right => right.User).FirstOrDefault(user => parameters["refresh_token"] == PasswordOf(user));
        if (user is null && (form is not null || authorization.Length > 0))
        {
            context.Response.StatusCode = StatusCodes.Status401Unauthorized;
            return;
        }

        var repository = parameters["scope"].ToString().Split(':')[1];
        await context.Response.WriteAsync($$"""{"token":"{{TokenOf(user ?? "anybody", repository)}}","expires_in":300}""");
    }
}
