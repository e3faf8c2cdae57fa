using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Issues tokens for private registries, to one user who may read one repository, in both ways that clients ask: a GET with
/// Basic credentials, and a POST as in OAuth2. Anybody else who comes without credentials gets a token for nothing, and with
/// wrong ones none. Thread-safe.
/// </summary>
internal sealed class TokenServer : IAsyncDisposable
{
    /// <summary>What the registry calls itself in its challenges.</summary>
    public const string Service = "lab-registry";

    /// <summary>Who signs.</summary>
    public const string Issuer = "lab-tokens";

    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(5);

    // A registry whose clock is a bit behind takes the token, too.
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(10);

    private readonly RegistryLogin _login;
    private readonly string _scope;
    private readonly RSA _key = RSA.Create(2048);
    private readonly X509Certificate2 _certificate;
    private readonly ConcurrentQueue<string> _granted = new();
    private LabServer _server = null!;

    private TokenServer(string folder, RegistryLogin login, string repository)
    {
        _login = login;
        _scope = $"repository:{repository}:pull";
        var now = TimeProvider.System.GetUtcNow();
        _certificate = new CertificateRequest("CN=" + Issuer, _key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1).CreateSelfSigned(now - Skew, now + TimeSpan.FromDays(1));
        CertificateFile = Path.Combine(folder, "tokens.pem");
        File.WriteAllText(CertificateFile, _certificate.ExportCertificatePem());
    }

    /// <summary>Certificate of the key that signs, for the registry.</summary>
    public string CertificateFile { get; }

    /// <summary>Where tokens are issued.</summary>
    public Uri Realm => new(_server.Url + "/token");

    /// <summary>Methods of the requests that were granted access, in order.</summary>
    public IReadOnlyCollection<string> Granted => _granted;

    /// <summary>Starts a server.</summary>
    /// <param name="folder">For the certificate.</param>
    /// <param name="login">The only user.</param>
    /// <param name="repository">The only repository.</param>
    public static async Task<TokenServer> StartAsync(string folder, RegistryLogin login, string repository)
    {
        var tokens = new TokenServer(folder, login, repository);
        tokens._server = await LabServer.StartAsync(tokens.HandleAsync);
        return tokens;
    }

    /// <summary>Leave to write to the repository, which is not given to those who ask.</summary>
    public AuthenticationHeaderValue IssueForWriting(string repository) => new("Bearer", Issue(_login.User, repository, "pull", "push"));

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _certificate.Dispose();
        _key.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        var (request, response) = (context.Request, context.Response);
        var isForm = HttpMethods.IsPost(request.Method);
        if (request.Path != "/token" || !(isForm || HttpMethods.IsGet(request.Method)))
        {
            response.StatusCode = 404;
            return;
        }

        var form = isForm ? await request.ReadFormAsync(context.RequestAborted) : null;
        var (service, scopes) = form is null ? (request.Query["service"], request.Query["scope"]) : (form["service"], form["scope"]);
        var login = form is null ? ReadBasic(request)
            : form["grant_type"] == "password" ? new RegistryLogin(form["username"].ToString(), form["password"].ToString())
            : new RegistryLogin(string.Empty, string.Empty);
        if (service != Service || (login is not null && login != _login))
        {
            response.StatusCode = 401;
            return;
        }

        var isGranted = login is not null && scopes.SelectMany(scope => scope?.Split(' ') ?? []).Contains(_scope);
        if (isGranted)
        {
            _granted.Enqueue(request.Method);
        }

        var token = isGranted ? Issue(_login.User, _scope.Split(':')[1], "pull") : Issue(login?.User ?? string.Empty);
        await response.WriteAsync(
            new JsonObject { ["token"] = token, ["access_token"] = token, ["expires_in"] = (int)Lifetime.TotalSeconds }.ToJsonString(), context.RequestAborted);
    }

    private static RegistryLogin? ReadBasic(HttpRequest request)
    {
        if (!AuthenticationHeaderValue.TryParse(request.Headers.Authorization, out var header) || header.Scheme != "Basic")
        {
            return null;
        }

        var parts = Encoding.UTF8.GetString(Convert.FromBase64String(header.Parameter ?? string.Empty)).Split(':', 2);
        return new RegistryLogin(parts[0], parts[^1]);
    }

    // A JSON Web Token in the form that Docker's registry documents.
    private string Issue(string user, string? repository = null, params string[] actions)
    {
        var now = TimeProvider.System.GetUtcNow();
        var header = new JsonObject { ["typ"] = "JWT", ["alg"] = "RS256", ["x5c"] = new JsonArray(Convert.ToBase64String(_certificate.RawData)) };
        var claims = new JsonObject
        {
            ["iss"] = Issuer,
            ["sub"] = user,
            ["aud"] = Service,
            ["nbf"] = (now - Skew).ToUnixTimeSeconds(),
            ["iat"] = now.ToUnixTimeSeconds(),
            ["exp"] = (now + Lifetime).ToUnixTimeSeconds(),
            ["jti"] = $"{TestOutput.SecretMarker}Token" + RandomNumberGenerator.GetHexString(16),
            ["access"] = repository is null ? [] : new JsonArray(new JsonObject
            {
                ["type"] = "repository",
                ["name"] = repository,
                ["actions"] = new JsonArray([.. actions.Select(action => JsonValue.Create(action))]),
            }),
        };
        var signed = $"{Encode(header)}.{Encode(claims)}";
        return $"{signed}.{Base64Url.EncodeToString(_key.SignData(Encoding.ASCII.GetBytes(signed), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))}";

        static string Encode(JsonObject json) => Base64Url.EncodeToString(Encoding.UTF8.GetBytes(json.ToJsonString()));
    }
}
