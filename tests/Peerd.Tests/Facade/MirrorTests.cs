using System.Globalization;
using System.Net;
using System.Text;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

/// <summary>What a mirror must answer to the requests of a well-meaning client.</summary>
public sealed class MirrorTests(MirrorFixture image) : IClassFixture<MirrorFixture>
{
    private const string ContainerdAccept = "Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

    private string LayerTarget => $"/v2/team/app/blobs/{image.LayerDigest}?ns=reg.test";

    [Theory]
    [InlineData("GET", "/v2/")]
    [InlineData("GET", "/v2")]
    [InlineData("HEAD", "/v2/")]
    public async Task Version_Asked_IsYes(string method, string target)
    {
        var answer = await image.Host.SendAsync(method, target);

        Assert.Equal((200, "application/json", "registry/2.0", "2"), (answer.Status, answer.Header("Content-Type"), answer.Header("Docker-Distribution-Api-Version"), answer.Header("Content-Length")));
        Assert.Equal(method == "HEAD" ? "" : "{}", Encoding.UTF8.GetString(answer.Body));
    }

    [Theory]
    [InlineData("HEAD")]
    [InlineData("GET")]
    public async Task ManifestByTag_Known_HasExactHead(string method)
    {
        var answer = await image.Host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test", ContainerdAccept);

        AssertManifest(answer, image.Index, image.IndexDigest, MirrorFixture.IndexType);
        Assert.Equal("reg.test", answer.Header("OCI-Namespace"));
        Assert.Equal(method == "HEAD" ? [] : image.Index, answer.Body);
    }

    [Theory]
    [InlineData("HEAD", "Accept: , */*")]
    [InlineData("GET", "Accept: , */*")]
    [InlineData("GET", "Accept: application/json")]
    [InlineData("GET", "Accept-Encoding: zstd;q=1.0, gzip;q=0.8, deflate;q=0.5")]
    [InlineData("GET", "Range: bytes=0-")]
    public async Task ManifestByDigest_Known_IsServedAsStored(string method, string header)
    {
        var index = await image.Host.SendAsync(method, $"/v2/team/app/manifests/{image.IndexDigest}?ns=reg.test", header);
        var manifest = await image.Host.SendAsync(method, $"/v2/team/app/manifests/{image.ManifestDigest}?ns=reg.test", header);

        AssertManifest(index, image.Index, image.IndexDigest, MirrorFixture.IndexType);
        AssertManifest(manifest, image.Manifest, image.ManifestDigest, MirrorFixture.ManifestType);
        if (method == "GET")
        {
            Assert.Equal(image.Index, index.Body);
            Assert.Equal(image.Manifest, manifest.Body);
        }
    }

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

    [Fact]
    public async Task Blob_Whole_HasExactHeadAndBytes()
    {
        foreach (var (digest, bytes) in new[] { (image.ConfigDigest, image.Config), (image.LayerDigest, image.Layer), (image.ManifestDigest, image.Manifest) })
        {
            var answer = await image.Host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test", "Accept-Encoding: gzip");

            Assert.Equal(200, answer.Status);
            AssertBlobHead(answer, digest, bytes.Length);
            Assert.Equal(digest, Digest.OfSha256(answer.Body));
        }
    }

    [Fact]
    public async Task Blob_Head_HasLengthAndNoBodyWhateverRange()
    {
        var answer = await image.Host.HeadAsync(LayerTarget, "Range: bytes=5-9");

        Assert.Equal(200, answer.Status);
        AssertBlobHead(answer, image.LayerDigest, MirrorFixture.LayerSize);
        Assert.Null(answer.Header("Content-Range"));
    }

    [Theory]
    [InlineData("bytes=0-", 0, 3_001_173)]
    [InlineData("bytes=1048576-", 1_048_576, 3_001_173)]
    [InlineData("bytes=0-0", 0, 0)]
    [InlineData("bytes=3001173-3001173", 3_001_173, 3_001_173)]
    [InlineData("bytes=3001173-", 3_001_173, 3_001_173)]
    [InlineData("bytes=0-99999999999", 0, 3_001_173)]
    [InlineData("bytes=1000-66535", 1000, 66_535)]
    [InlineData("bytes=-512", 3_000_662, 3_001_173)]
    [InlineData("bytes=-99999999", 0, 3_001_173)]
    public async Task Blob_SingleRange_IsPartial(string range, int first, int last)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((206, $"bytes {first}-{last}/3001174"), (answer.Status, answer.Header("Content-Range")));
        AssertBlobHead(answer, image.LayerDigest, last - first + 1);
        Assert.True(image.Layer.AsSpan(first, last - first + 1).SequenceEqual(answer.Body));
    }

    [Theory]
    [InlineData("bytes=3001174-")]
    [InlineData("bytes=99999999999-99999999999")]
    [InlineData("bytes=-0")]
    public async Task Blob_RangeBehindTheEnd_IsRefusedWithSize(string range)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((416, "bytes */3001174"), (answer.Status, answer.Header("Content-Range")));
        Assert.Equal(RegistryError.RangeInvalid, answer.ErrorCode());
        Assert.Null(answer.Header("Docker-Content-Digest"));
    }

    [Theory]
    [InlineData("bytes=9-0")]
    [InlineData("bytes=a-b")]
    [InlineData("bytes=")]
    [InlineData("items=0-5")]
    [InlineData("bytes=--1")]
    [InlineData("bytes=0-9,20-29")]
    public async Task Blob_RangeThatIsNotOneOfBytes_IsIgnored(string range)
    {
        var answer = await image.Host.GetAsync(LayerTarget, "Range: " + range);

        Assert.Equal((200, null), (answer.Status, answer.Header("Content-Range")));
        Assert.Equal(image.LayerDigest, Digest.OfSha256(answer.Body));
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
    public async Task Blob_OfSha512_IsAsked()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = "sha512:" + new string('a', 128);

        Assert.Equal(404, (await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test")).Status);
        Assert.Equal(digest, Assert.Single(host.Contents.Opened).Request.Digest.ToString());
    }

    [Theory]
    [InlineData("manifests/nope", RegistryError.ManifestUnknown)]
    [InlineData("manifests/" + MirrorFixture.Unknown, RegistryError.ManifestUnknown)]
    [InlineData("blobs/" + MirrorFixture.Unknown, RegistryError.BlobUnknown)]
    public async Task Unknown_Asked_IsNotFound(string what, string code)
    {
        var target = $"/v2/team/app/{what}?ns=reg.test";

        var answer = await image.Host.GetAsync(target);
        var head = await image.Host.HeadAsync(target);

        Assert.Equal((404, code), (answer.Status, answer.ErrorCode()));
        Assert.Equal((404, answer.Header("Content-Length")), (head.Status, head.Header("Content-Length")));
    }

    [Fact]
    public async Task ManifestByDigest_OfLayer_IsNotFound()
    {
        var answer = await image.Host.GetAsync($"/v2/team/app/manifests/{image.LayerDigest}?ns=reg.test");

        Assert.Equal((404, RegistryError.ManifestUnknown), (answer.Status, answer.ErrorCode()));
    }

    [Theory]
    [InlineData("?ns=quay.io%3A8443", "quay.io:8443")]
    [InlineData("?ns=docker.io", "docker.io")]
    [InlineData("", "docker.io")]
    public async Task Registry_OfRequest_IsTheOneAsked(string query, string registry)
    {
        await using var host = await FacadeHost.StartAsync();

        await host.GetAsync($"/v2/library/alpine/blobs/{MirrorFixture.Unknown}{query}");
        await host.GetAsync($"/v2/library/alpine/manifests/latest{query}");

        Assert.Equal(new OriginReference(registry, "library/alpine", OriginKind.Blob, MirrorFixture.Unknown), Assert.Single(host.Contents.Opened).Request.Origin);
        Assert.Equal(new OriginReference(registry, "library/alpine", OriginKind.Manifest, "latest"), Assert.Single(host.Origin.Asked));
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
    [InlineData("/v2/_catalog", 404)]
    [InlineData("/v2/team/app/referrers/sha256:abc?ns=reg.test", 400)]
    [InlineData("/other", 404)]
    public async Task Listing_Asked_IsNotServed(string target, int status)
    {
        var answer = await image.Host.GetAsync(target);

        Assert.Equal((status, status == 404 ? RegistryError.Unsupported : RegistryError.DigestInvalid), (answer.Status, answer.ErrorCode()));
    }

    [Theory]
    [InlineData("PUT")]
    [InlineData("POST")]
    [InlineData("PATCH")]
    [InlineData("DELETE")]
    [InlineData("OPTIONS")]
    [InlineData("TRACE")]
    public async Task Method_OtherThanRead_IsNotAllowed(string method)
    {
        var answer = await image.Host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test");

        Assert.Equal((405, "GET, HEAD", RegistryError.Unsupported), (answer.Status, answer.Header("Allow"), answer.ErrorCode()));
        Assert.Null(answer.Header("Connection"));
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

        await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test&token=t0psecret", "Authorization: Bearer t0psecret");

        var records = host.Logs.GetSnapshot().Where(r => r.Category?.StartsWith("Peerd.", StringComparison.Ordinal) == true).ToList();
        Assert.Contains(records, r => r.Message.Contains(digest.ToString(), StringComparison.Ordinal));
        Assert.DoesNotContain(records, r => r.Level > LogLevel.Information || r.Message.Contains("t0psecret", StringComparison.Ordinal));
    }

    private static void AssertBlobHead(RawAnswer answer, Digest digest, int length)
    {
        Assert.Equal("application/octet-stream", answer.Header("Content-Type"));
        Assert.Equal(length.ToString(CultureInfo.InvariantCulture), answer.Header("Content-Length"));
        Assert.Equal(digest.ToString(), answer.Header("Docker-Content-Digest"));
        Assert.Equal($"\"{digest}\"", answer.Header("ETag"));
        Assert.Equal("bytes", answer.Header("Accept-Ranges"));
        Assert.Null(answer.Header("Content-Encoding"));
    }

    private static void AssertManifest(RawAnswer answer, byte[] bytes, Digest digest, string mediaType) =>
        Assert.Equal(
            (200, mediaType, bytes.Length.ToString(CultureInfo.InvariantCulture), digest.ToString(), null),
            (answer.Status, answer.Header("Content-Type"), answer.Header("Content-Length"), answer.Header("Docker-Content-Digest"), answer.Header("Content-Encoding")));
}
