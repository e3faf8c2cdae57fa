using System.Net;
using System.Text;
using Microsoft.Extensions.Logging;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Facade;

/// <summary>What a mirror must survive: clients that mean harm, and sources that lie.</summary>
public sealed class HostileMirrorTests(MirrorFixture image) : IClassFixture<MirrorFixture>
{
    public static TheoryData<string, string> BadTargets => new()
    {
        { "/v2/team/app/blobs/sha256:XYZ", RegistryError.DigestInvalid },
        { $"/v2/team/app/blobs/sha256:{new string('a', 10_000)}", RegistryError.DigestInvalid },
        { $"/v2/team/app/blobs/md5:{new string('a', 32)}", RegistryError.DigestInvalid },
        { "/v2/A/B/manifests/v1", RegistryError.NameInvalid },
        { "/v2/a//b/manifests/v1", RegistryError.NameInvalid },
        { "/v2/team%2Fapp/manifests/v1", RegistryError.NameInvalid },
        { "/v2/team/../app/manifests/v1", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/..", RegistryError.NameInvalid },
        { $"/v2/{new string('a', 300)}/manifests/v1", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/v1?ns=evil.test/path", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/v1?ns=a@b", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/v1?ns=http://x", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/v1?ns=reg.test&ns=reg.test", RegistryError.NameInvalid },
        { "/v2/team/app/manifests/v1?ns=reg.test%0d%0aX-Evil:1", RegistryError.NameInvalid },
    };

    [Theory]
    [MemberData(nameof(BadTargets))]
    public async Task Target_Malformed_IsBadRequestAndReachesNobody(string target, string code)
    {
        await using var host = await FacadeHost.StartAsync();

        foreach (var method in new[] { "GET", "HEAD" })
        {
            var answer = await host.SendAsync(method, target);

            Assert.Equal((400, null), (answer.Status, answer.Header("X-Evil")));
            Assert.Equal(method == "GET" ? code : null, method == "GET" ? answer.ErrorCode() : null);
        }

        AssertNobodyAsked(host);
    }

    [Fact]
    public async Task Digest_WithPath_IsNotServed()
    {
        await using var host = await FacadeHost.StartAsync();

        Assert.Equal(404, (await host.GetAsync("/v2/team/app/blobs/sha256:../../etc/passwd")).Status);
        AssertNobodyAsked(host);
    }

    [Theory]
    [InlineData("127.0.0.1:2379")]
    [InlineData("169.254.169.254")]
    [InlineData("[::1]")]
    [InlineData("localhost")]
    [InlineData("metadata.google.internal")]
    [InlineData("reg.test:5000")]
    [InlineData("evil.reg.test")]
    public async Task Registry_NotConfigured_IsRefusedWithoutConnection(string registry)
    {
        await using var host = await FacadeHost.StartAsync();

        foreach (var what in new[] { "manifests/v1", "manifests/" + MirrorFixture.Unknown, "blobs/" + MirrorFixture.Unknown })
        {
            var answer = await host.GetAsync($"/v2/team/app/{what}?ns={registry}");

            Assert.Equal((404, RegistryError.NameUnknown, null), (answer.Status, answer.ErrorCode(), answer.Header("OCI-Namespace")));
        }

        AssertNobodyAsked(host);
    }

    [Theory]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost : h\r\n\r\n")]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n")]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost: h\r\nX: a\rb\r\n\r\n")]
    [InlineData("GET http://evil/v2/ HTTP/1.1\r\nHost: h\r\n\r\n")]
    [InlineData("GET http://evil/v2/ HTTP/1.1\r\nHost: evil\r\n\r\n")]
    [InlineData("GET /v2/ HTTP/1.1\r\n\r\n")]
    [InlineData("GET /v2/ HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")]
    [InlineData("GET /v2/\u00e4/manifests/v1 HTTP/1.1\r\nHost: h\r\n\r\n")]
    [InlineData("GET  /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")]
    [InlineData("rubbish\r\n\r\n")]
    public async Task Request_ThatSmugglesOrIsBroken_IsBadRequest(string request)
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteAsync(request);

        Assert.Equal(400, (await connection.ReadHeadAsync()).Status);
    }

    [Fact]
    public async Task RequestLine_TooLong_Is414()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteRequestAsync("GET", "/v2/?x=" + new string('a', 20_000));

        Assert.Equal(414, (await connection.ReadHeadAsync()).Status);
    }

    [Fact]
    public async Task Headers_TooLarge_Are431()
    {
        await using var connection = await image.Host.ConnectAsync();
        await connection.WriteRequestAsync("GET", $"/v2/team/app/blobs/{image.LayerDigest}?ns=reg.test", "Range: bytes=" + string.Join(',', Enumerable.Range(0, 10_000).Select(i => $"{i}-{i}")));

        Assert.Equal(431, (await connection.ReadHeadAsync()).Status);
    }

    [Fact]
    public async Task Range_OfManyParts_IsIgnored()
    {
        var answer = await image.Host.GetAsync($"/v2/team/app/blobs/{image.ConfigDigest}?ns=reg.test", "Range: bytes=" + string.Join(',', Enumerable.Repeat("0-0", 7000)));

        Assert.Equal((200, image.Config.Length), (answer.Status, answer.Body.Length));
    }

    [Theory]
    [InlineData(FacadeOptions.MaxManifestSize, 200, 200)]
    [InlineData(FacadeOptions.MaxManifestSize + 1, 404, 502)]
    public async Task Manifest_AroundTheLimit_IsCutThere(long size, int byDigest, int byTag)
    {
        await using var host = await FacadeHost.StartAsync();
        var manifest = new byte[size];
        Array.Fill(manifest, (byte)' ');
        Encoding.UTF8.GetBytes("""{"schemaVersion":2,"manifests":[]}""").CopyTo(manifest, 0);
        var digest = host.Contents.Add(manifest);
        host.Origin.Tag("v1", digest, size, MirrorFixture.IndexType);

        foreach (var (what, status) in new[] { (digest.ToString(), byDigest), ("v1", byTag) })
        {
            foreach (var method in new[] { "GET", "HEAD" })
            {
                var answer = await host.SendAsync(method, $"/v2/team/app/manifests/{what}?ns=reg.test");

                Assert.Equal(status, answer.Status);
                Assert.Equal(method == "GET" && status == 200 ? size : 0, status == 200 ? answer.Body.Length : 0);
            }
        }
    }

    [Fact]
    public async Task Manifest_ClaimingAGigabyte_IsNotRead()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(image.Index, MirrorFixture.IndexType) { ClaimedSize = 1L << 30 });

        var answer = await host.GetAsync($"/v2/team/app/manifests/{digest}?ns=reg.test");

        Assert.Equal((404, RegistryError.ManifestUnknown), (answer.Status, answer.ErrorCode()));
    }

    [Fact]
    public async Task Manifest_WithWrongDigest_IsNeverServed()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent(image.Index, MirrorFixture.IndexType) { IsWrong = true });
        host.Origin.Tag("v1", digest, image.Index.Length, MirrorFixture.IndexType);

        foreach (var what in new[] { digest.ToString(), "v1" })
        {
            var answer = await host.GetAsync($"/v2/team/app/manifests/{what}?ns=reg.test");

            Assert.Equal((502, RegistryError.Unavailable, null), (answer.Status, answer.ErrorCode(), answer.Header("Docker-Content-Digest")));
        }
    }

    [Theory]
    [InlineData("GET")]
    [InlineData("HEAD")]
    public async Task ManifestByTag_OriginAnswersHtml_IsNotPassedOn(string method)
    {
        await using var host = await FacadeHost.StartAsync();
        var html = Encoding.UTF8.GetBytes("<html>log in</html>");
        host.Origin.Tag("v1", host.Contents.Add(html, "text/html"), html.Length, "text/html");
        host.Origin.Tag("reg.test", "team/app", "v2", new OriginResponse { Outcome = OriginOutcome.Ok, Status = HttpStatusCode.OK, TotalSize = html.Length, MediaType = "text/html" });

        Assert.Equal(404, (await host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test")).Status);
        Assert.Equal(502, (await host.SendAsync(method, "/v2/team/app/manifests/v2?ns=reg.test")).Status);
    }

    [Fact]
    public async Task Error_WithStrangeText_StaysJson()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent([1], null) { Refusal = new ContentFacts(HttpStatusCode.NotFound, Error: "\"}\r\n\ud800<script>\0") });

        Assert.Equal(RegistryError.BlobUnknown, (await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test")).ErrorCode());
    }

    [Fact]
    public async Task ReadPath_Throws_IsInternalErrorWithoutDetails()
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(new FakeContent([1], null) { Bug = new InvalidOperationException("t0psecret") });

        var answer = await host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test");

        Assert.Equal((500, RegistryError.Unknown), (answer.Status, answer.ErrorCode()));
        Assert.DoesNotContain("t0psecret", Encoding.UTF8.GetString(answer.Body), StringComparison.Ordinal);
        Assert.Single(host.Logs.GetSnapshot(), r => r.Level == LogLevel.Error && r.Exception is InvalidOperationException);
    }

    [Theory]
    [InlineData("blobs", "GET")]
    [InlineData("blobs", "HEAD")]
    [InlineData("manifests", "GET")]
    public async Task ReadPath_NeverAnswers_IsGatewayTimeout(string kind, string method)
    {
        await using var host = await FacadeHost.StartAsync(("AnswerTimeout", "1s"));
        var digest = host.Contents.Add(new FakeContent([1], null) { OpenGate = new TaskCompletionSource().Task });

        var answer = await host.SendAsync(method, $"/v2/team/app/{kind}/{digest}?ns=reg.test");

        Assert.Equal(504, answer.Status);
    }

    [Fact]
    public async Task Client_WithSlowHeaders_IsClosedWhileOthersAreServed()
    {
        await using var host = await FacadeHost.StartAsync(("RequestHeadersTimeout", "1s"));
        await using var slow = await host.ConnectAsync();
        await slow.WriteAsync("GET /v2/ HTTP/1.1\r\nHost: h\r\nX-Slow: ");

        Assert.Equal(200, (await host.GetAsync("/v2/")).Status);
        var (bytes, _) = await slow.ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 408 ", Encoding.ASCII.GetString(bytes), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Connections_OverTheCap_OnesWithoutARequestGiveWay()
    {
        await using var host = await FacadeHost.StartAsync(("MaxConnections", "2"));
        await using var first = await host.ConnectAsync();
        await using var second = await host.ConnectAsync();
        Assert.Equal(200, (await first.SendAsync("GET", "/v2/")).Status);
        Assert.Equal(200, (await second.SendAsync("GET", "/v2/")).Status);

        await using var third = await host.ConnectAsync();
        Assert.Equal(200, (await third.SendAsync("GET", "/v2/")).Status);

        Assert.Equal((0, ConnectionEnd.Fin), await EndOfAsync(first));
        Assert.Equal(200, (await second.SendAsync("GET", "/v2/")).Status);
    }

    // The server waits for the rest of a head, whoever asks it to close the connection: for longer than others wait for a place.
    [Fact]
    public async Task Connections_OverTheCapAndSomeHaveSentHalfARequest_OthersAreServed()
    {
        await using var host = await FacadeHost.StartAsync(("MaxConnections", "2"), ("RequestHeadersTimeout", "60s"));
        await using var half = await host.ConnectAsync();
        await half.WriteAsync("GET /v2/ HTTP/1.1\r\nHost: h\r\nX-Slow: ");
        await using var halfAgain = await host.ConnectAsync();
        Assert.Equal(200, (await halfAgain.SendAsync("GET", "/v2/")).Status);
        await halfAgain.WriteAsync("GET /v2/ HTTP/1.1\r\nHost: h\r\nX-Slow: ");

        // Two of them: one place would be that of the first.
        await using var third = await host.ConnectAsync();
        Assert.Equal(200, (await third.SendAsync("GET", "/v2/")).Status);
        await using var fourth = await host.ConnectAsync();
        Assert.Equal(200, (await fourth.SendAsync("GET", "/v2/")).Status);
    }

    [Fact]
    public async Task Connections_OverTheCapAndAllHaveRequests_WaitUntilOneIsAnswered()
    {
        var open = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var host = await FacadeHost.StartAsync(("MaxConnections", "2"));
        var digest = host.Contents.Add(new FakeContent([1, 2, 3], mediaType: null) { OpenGate = open.Task });
        await using var first = await host.ConnectAsync();
        await using var second = await host.ConnectAsync();
        await first.WriteRequestAsync("GET", $"/v2/a/blobs/{digest}");
        await second.WriteRequestAsync("GET", $"/v2/a/blobs/{digest}");
        await Wait.UntilAsync(() => host.Contents.Opened.Count == 2, "both have requests under way");

        await using var third = await host.ConnectAsync();
        await third.WriteRequestAsync("GET", "/v2/");
        open.SetResult();

        Assert.Equal(200, (await third.ReadAnswerAsync()).Status);
        Assert.Equal([1, 2, 3], (await first.ReadAnswerAsync()).Body);
        Assert.Equal([1, 2, 3], (await second.ReadAnswerAsync()).Body);
    }

    // Who takes nothing must not have others wait for ever: containerd would do so.
    [Fact]
    public async Task Connections_OverTheCapAndNoneIsAnswered_AreClosedAfterAWhile()
    {
        await using var host = await FacadeHost.StartAsync(("MaxConnections", "1"));
        var digest = host.Contents.Add(new FakeContent([1, 2, 3], mediaType: null) { OpenGate = Task.Delay(Timeout.Infinite, TestContext.Current.CancellationToken) });
        await using var held = await host.ConnectAsync();
        await held.WriteRequestAsync("GET", $"/v2/a/blobs/{digest}");
        await Wait.UntilAsync(() => !host.Contents.Opened.IsEmpty, "it has its request under way");

        await using var refused = await host.ConnectAsync();
        await refused.WriteRequestAsync("GET", "/v2/");

        Assert.Equal(0, (await EndOfAsync(refused)).Bytes);
    }

    private static async Task<(int Bytes, ConnectionEnd End)> EndOfAsync(RawConnection connection)
    {
        var (bytes, end) = await connection.ReadToEndAsync();
        return (bytes.Length, end);
    }

    private static void AssertNobodyAsked(FacadeHost host)
    {
        Assert.Empty(host.Origin.Asked);
        Assert.Empty(host.Contents.Opened);
        Assert.Empty(host.Contents.Asked);
    }
}
