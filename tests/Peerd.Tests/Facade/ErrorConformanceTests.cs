using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

/// <summary>Errors in the form of the OCI distribution specification, section "Error codes".</summary>
public sealed partial class ErrorConformanceTests
{
    // What the specification lists; other codes are allowed.
    private static readonly string[] Listed = ["BLOB_UNKNOWN", "DENIED", "DIGEST_INVALID", "MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "TOOMANYREQUESTS", "UNAUTHORIZED", "UNSUPPORTED"];

    [Theory]
    [InlineData("GET", "/v2/A/manifests/v1", 400, true)]
    [InlineData("GET", "/v2/team/app/blobs/sha256:abc", 400, true)]
    [InlineData("GET", "/v2/team/app/manifests/sha256:abc", 400, true)]
    [InlineData("GET", "/v2/team/app/manifests/nope?ns=reg.test", 404, true)]
    [InlineData("GET", "/v2/team/app/blobs/" + MirrorFixture.Unknown + "?ns=reg.test", 404, true)]
    [InlineData("GET", "/v2/team/app/manifests/v1?ns=unknown.test", 404, true)]
    [InlineData("GET", "/v2/_catalog", 404, true)]
    [InlineData("GET", "/v2/a/b/c", 404, true)]
    [InlineData("POST", "/v2/team/app/blobs/uploads/", 405, true)]
    [InlineData("GET", "/v2/team/app/blobs/{forbidden}?ns=reg.test", 403, true)]
    [InlineData("GET", "/v2/team/app/blobs/{busy}?ns=reg.test", 503, true)]
    [InlineData("GET", "/v2/team/app/blobs/{broken}?ns=reg.test", 502, false)]
    public async Task Error_OfAnyKind_IsJsonWithCodeAndMessage(string method, string target, int status, bool isListed)
    {
        await using var host = await FacadeHost.StartAsync();
        foreach (var (name, refusal) in new[] { ("{forbidden}", HttpStatusCode.Forbidden), ("{busy}", HttpStatusCode.TooManyRequests), ("{broken}", HttpStatusCode.InternalServerError) })
        {
            var digest = host.Contents.Add(new FakeContent(Encoding.ASCII.GetBytes(name), null) { Refusal = new ContentFacts(refusal, Error: "why", RetryAfter: TimeSpan.FromSeconds(3)) });
            target = target.Replace(name, digest.ToString(), StringComparison.Ordinal);
        }

        var answer = await host.SendAsync(method, target);

        Assert.Equal((status, "application/json"), (answer.Status, answer.Header("Content-Type")));
        using var json = JsonDocument.Parse(answer.Body);
        var error = Assert.Single(json.RootElement.GetProperty("errors").EnumerateArray());
        var code = error.GetProperty("code").GetString()!;
        Assert.Matches(Code(), code);
        Assert.Equal(isListed, Listed.Contains(code));
        Assert.NotEqual(string.Empty, error.GetProperty("message").GetString());

        // A pause that is asked for says how long.
        Assert.Equal(code == "TOOMANYREQUESTS" ? "3" : null, answer.Header("Retry-After"));
    }

    // As the registry wrote it: case, order and spaces of what is in it, and those that only the registry knows.
    [Theory]
    [InlineData("Bearer realm=\"https://auth.reg.test/token\",service=\"reg, test\",scope=\"repository:team/app:pull\"")]
    [InlineData("bearer scope=\"repository:team/app:pull,push\" , Realm=\"https://auth.reg.test/token?x=1&y=2\",error=\"invalid_token\",x-own=1")]
    public async Task Challenge_OfTheRegistry_IsUnauthorizedWithTheHeaderUnchanged(string challenge)
    {
        await using var host = await FacadeHost.StartAsync();
        var asked = AuthenticationHeaderValue.Parse(challenge);
        var digest = host.Contents.Add(new FakeContent([1], null) { Refusal = new ContentFacts(HttpStatusCode.Unauthorized, Error: "why", Challenge: asked) });
        host.Origin.Tag("reg.test", "team/app", "v1", new OriginResponse { Outcome = OriginOutcome.Refused, Status = HttpStatusCode.Unauthorized, Error = "why", Challenge = asked });

        foreach (var target in new[] { $"blobs/{digest}", $"manifests/{digest}", "manifests/v1" })
        {
            foreach (var method in new[] { "GET", "HEAD" })
            {
                var answer = await host.SendAsync(method, $"/v2/team/app/{target}?ns=reg.test");

                Assert.Equal((401, "application/json", challenge), (answer.Status, answer.Header("Content-Type"), answer.Header("WWW-Authenticate")));
                Assert.Equal(method == "HEAD" ? "" : """{"errors":[{"code":"UNAUTHORIZED","message":"why"}]}""", Encoding.UTF8.GetString(answer.Body));
            }
        }
    }

    [GeneratedRegex(@"\A[A-Z_]+\z", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Code();
}
