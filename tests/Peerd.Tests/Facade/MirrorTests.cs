using System.Net;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Origin;
using static Peerd.Tests.Facade.MirrorAnswer;

namespace Peerd.Tests.Facade;

/// <summary>What a mirror must answer to the requests of a well-meaning client.</summary>
public sealed class MirrorTests(MirrorFixture image) : IClassFixture<MirrorFixture>
{
    private string LayerTarget => $"/v2/team/app/blobs/{image.LayerDigest}?ns=reg.test";

    [Theory]
    [InlineData(null)]
    [InlineData("application/octet-stream")]
    public async Task ManifestByTag_OriginGivesNoUsableType_IsFoundInTheManifest(string? mediaType)
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Manifest);
        host.Origin.Tag("v1", digest, image.Manifest.Length, mediaType);

        AssertManifest(await host.HeadAsync("/v2/team/app/manifests/v1?ns=reg.test"), image.Manifest, digest, MirrorFixture.ManifestType);
        AssertManifest(await host.GetAsync("/v2/team/app/manifests/v1?ns=reg.test"), image.Manifest, digest, MirrorFixture.ManifestType);
    }

    [Fact]
    public async Task ManifestByTag_OriginGivesNoSize_IsTakenFromTheManifest()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Index, MirrorFixture.IndexType);
        host.Origin.Tag("v1", digest, size: null, MirrorFixture.IndexType);

        AssertManifest(await host.HeadAsync("/v2/team/app/manifests/v1?ns=reg.test"), image.Index, digest, MirrorFixture.IndexType);
    }

    [Fact]
    public async Task ManifestByTag_Get_ReadsByDigestThroughTheMesh()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Index, MirrorFixture.IndexType);
        host.Origin.Tag("v1", digest, image.Index.Length, MirrorFixture.IndexType);

        await host.GetAsync("/v2/team/app/manifests/v1?ns=reg.test");

        var (request, range) = Assert.Single(host.Contents.Opened);
        Assert.Equal(new ContentRequest(digest, new OriginReference("reg.test", "team/app", OriginKind.Manifest, digest.ToString())), request);
        Assert.Null(range);
        Assert.Equal(new OriginReference("reg.test", "team/app", OriginKind.Manifest, "v1"), Assert.Single(host.Origin.Asked));
    }

    [Fact]
    public async Task ManifestByDigest_OriginDown_ComesFromTheMeshAlone()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Index, MirrorFixture.IndexType);

        Assert.Equal(200, (await host.GetAsync($"/v2/team/app/manifests/{digest}?ns=reg.test")).Status);
        Assert.Empty(host.Origin.Asked);
    }

    [Theory]
    [InlineData("\"x\"", 200)]
    [InlineData("Sat, 29 Oct 1994 19:43:31 GMT", 200)]
    [InlineData("W/{tag}", 200)]
    [InlineData("{tag}", 206)]
    public async Task Blob_IfRange_DecidesOnTheRange(string validator, int status)
    {
        var tag = (await image.Host.HeadAsync(LayerTarget)).Header("ETag");

        var answer = await image.Host.GetAsync(LayerTarget, "Range: bytes=0-9", "If-Range: " + validator.Replace("{tag}", tag, StringComparison.Ordinal));

        Assert.Equal((status, status == 206 ? 10 : MirrorFixture.LayerSize), (answer.Status, answer.Body.Length));
    }

    [Fact]
    public async Task Blob_Range_TellsTheReadPathWhatIsWanted()
    {
        await using var host = await FacadeHost.StartAsync();
        var target = $"/v2/team/app/blobs/{host.Contents.Add(image.Layer)}?ns=reg.test";

        await host.GetAsync(target, "Range: bytes=1000-1999");
        await host.GetAsync(target, "Range: bytes=3001174-");
        await host.GetAsync(target);

        var ranges = host.Contents.Opened.Select(o => o.Range?.Invoke(MirrorFixture.LayerSize)).ToList();
        Assert.Equal([new ByteRange(1000, 1000), new ByteRange(MirrorFixture.LayerSize, 0), null], ranges);
    }

    [Theory]
    [InlineData("GET", null)]
    [InlineData("GET", "Range: bytes=0-")]
    [InlineData("HEAD", null)]
    public async Task Blob_Empty_IsServed(string method, string? header)
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add([]);

        var answer = await host.SendAsync(method, $"/v2/team/app/blobs/{digest}?ns=reg.test", header is null ? [] : [header]);

        Assert.Equal((200, null), (answer.Status, answer.Header("Content-Range")));
        AssertBlobHead(answer, digest, 0);
    }

    [Fact]
    public async Task Registry_AbsentAndDefaultNotConfigured_IsNotFound()
    {
        await using var host = await FacadeHost.StartAsync(("DefaultRegistry", "other.test"));

        var answer = await host.GetAsync("/v2/library/alpine/manifests/latest");

        Assert.Equal((404, RegistryError.NameUnknown), (answer.Status, answer.ErrorCode()));
    }

    [Theory]
    [InlineData(401, 404)]
    [InlineData(403, 403)]
    [InlineData(404, 404)]
    [InlineData(429, 503)]
    [InlineData(503, 503)]
    [InlineData(500, 502)]
    public async Task Origin_Refuses_IsToldWithoutChallenge(int status, int expected)
    {
        await using var host = await FacadeHost.StartAsync();
        var pause = TimeSpan.FromSeconds(6.5);
        var digest = host.Contents.Add(new FakeContent([1], null) { Refusal = new ContentFacts((HttpStatusCode)status, Error: "why", RetryAfter: pause) });
        host.Origin.Tag("reg.test", "team/app", "v1", new OriginResponse { Outcome = OriginOutcome.Refused, Status = (HttpStatusCode)status, Error = "why", RetryAfter = pause });

        foreach (var target in new[] { $"blobs/{digest}", $"manifests/{digest}", "manifests/v1" })
        {
            foreach (var method in new[] { "GET", "HEAD" })
            {
                var answer = await host.SendAsync(method, $"/v2/team/app/{target}?ns=reg.test");

                Assert.Equal((expected, null), (answer.Status, answer.Header("WWW-Authenticate")));
                Assert.Equal(expected == 503 ? "7" : null, answer.Header("Retry-After"));
            }
        }
    }

    [Fact]
    public async Task Origin_UnreachableForTag_IsBadGateway()
    {
        await using var host = await FacadeHost.StartAsync();
        host.Origin.Tag("reg.test", "team/app", "v1", new OriginResponse { Outcome = OriginOutcome.Unreachable, Error = "no route" });

        var answer = await host.GetAsync("/v2/team/app/manifests/v1?ns=reg.test");

        Assert.Equal((502, RegistryError.Unavailable), (answer.Status, answer.ErrorCode()));
    }

    [Theory]
    [InlineData("/v2/_catalog")]
    [InlineData("/other")]
    public async Task Listing_Asked_IsNotServed(string target)
    {
        var answer = await image.Host.GetAsync(target);

        Assert.Equal((404, RegistryError.Unsupported), (answer.Status, answer.ErrorCode()));
    }

    [Fact]
    public async Task Method_Connect_NeverTunnels()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteAsync("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");

        Assert.InRange((await connection.ReadAnswerAsync()).Status, 400, 499);
    }

    [Fact]
    public async Task Method_WithHugeBody_IsAnsweredUnreadAndClosed()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteRequestAsync("POST", "/v2/team/app/blobs/uploads/", "Content-Length: 10737418240");

        var answer = await connection.ReadAnswerAsync();
        var (rest, _) = await connection.ReadToEndAsync();

        Assert.Equal((405, "close", RegistryError.Unsupported), (answer.Status, answer.Header("Connection"), answer.ErrorCode()));
        Assert.Empty(rest);
    }

    [Fact]
    public async Task Blob_ThreeAtOnce_AreAllRight()
    {
        var answers = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => image.Host.GetAsync(LayerTarget)));

        Assert.All(answers, a => Assert.Equal(image.LayerDigest, Digest.OfSha256(a.Body)));
    }

    [Fact]
    public async Task Connection_WithThirtyRequests_KeepsItsFraming()
    {
        await using var connection = await image.Host.ConnectAsync();
        for (var i = 0; i < 30; i++)
        {
            var (method, target, header, status) = (i % 6) switch
            {
                0 => ("HEAD", "/v2/team/app/manifests/v1?ns=reg.test", "X: y", 200),
                1 => ("GET", "/v2/team/app/manifests/v1?ns=reg.test", "X: y", 200),
                2 => ("HEAD", LayerTarget, "X: y", 200),
                3 => ("GET", LayerTarget, $"Range: bytes={i}-{i + 99999}", 206),
                4 => ("HEAD", $"/v2/team/app/blobs/{MirrorFixture.Unknown}?ns=reg.test", "X: y", 404),
                _ => ("GET", "/v2/A/blobs/x", "X: y", 400),
            };

            var answer = await connection.SendAsync(method, target, header);

            Assert.Equal(("HTTP/1.1", status), (answer.Version, answer.Status));
            if (status == 206)
            {
                Assert.True(image.Layer.AsSpan(i, 100_000).SequenceEqual(answer.Body));
            }
        }
    }

    [Fact]
    public async Task Connection_WithPipelinedRequests_AnswersInOrder()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteAsync($"HEAD {LayerTarget} HTTP/1.1\r\nHost: h\r\n\r\nGET {LayerTarget} HTTP/1.1\r\nHost: h\r\nRange: bytes=0-4\r\n\r\n");

        Assert.Equal(200, (await connection.ReadAnswerAsync(hasBody: false)).Status);
        Assert.Equal(image.Layer[..5], (await connection.ReadAnswerAsync()).Body);
    }

    [Fact]
    public async Task Http10_WithoutHost_IsAnsweredAndClosed()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteAsync($"GET {LayerTarget} HTTP/1.0\r\nRange: bytes=0-9\r\n\r\n");

        var answer = await connection.ReadAnswerAsync();
        var (rest, end) = await connection.ReadToEndAsync();

        Assert.Equal((206, 10), (answer.Status, answer.Body.Length));
        Assert.Equal((0, ConnectionEnd.Fin), (rest.Length, end));
    }

    [Fact]
    public async Task Answer_OfAnyKind_HasNoServerCookieOrEncoding()
    {
        foreach (var target in new[] { "/v2/", LayerTarget, "/v2/team/app/manifests/v1?ns=reg.test", "/v2/a/blobs/x", "/nowhere" })
        {
            var answer = await image.Host.GetAsync(target, "Accept-Encoding: gzip, br");

            Assert.All(["Server", "Set-Cookie", "Content-Encoding", "Transfer-Encoding", "Connection"], name => Assert.Null(answer.Header(name)));
        }
    }

    [Fact]
    public async Task Log_OfGoodRequests_HasNothingAboveInformationAndNoToken()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Config);

        await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test&token=S3cretToken", "Authorization: Bearer S3cretToken");

        var records = host.Logs.GetSnapshot().Where(r => r.Category?.StartsWith("Peerd.", StringComparison.Ordinal) == true).ToList();
        Assert.Contains(records, r => r.Message.Contains(digest.ToString(), StringComparison.Ordinal));
        Assert.DoesNotContain(records, r => r.Level > LogLevel.Information || r.Message.Contains("S3cretToken", StringComparison.Ordinal));
    }
}
