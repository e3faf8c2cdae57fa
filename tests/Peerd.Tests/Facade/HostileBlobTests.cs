using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;

namespace Peerd.Tests.Facade;

/// <summary>Requests below <c>/blobs</c> that want to lead a node astray.</summary>
public sealed class HostileBlobTests(HostileBlobTests.NodeFixture fixture) : IClassFixture<HostileBlobTests.NodeFixture>
{
    private const string Secret = "S3cretSignature";

    [Theory]
    [InlineData("http://169.254.169.254/metadata/instance?api-version=2021")]
    [InlineData("http://127.0.0.1:10255/pods")]
    [InlineData("http://[::1]/")]
    [InlineData("http://0.0.0.0/")]
    [InlineData("http://2130706433/")]
    [InlineData("http://0x7f.1/")]
    [InlineData("http://localhost./")]
    [InlineData("http://10.0.0.1/")]
    [InlineData("http://[::ffff:169.254.169.254]/")]
    [InlineData("http://kubernetes.default.svc/")]
    [InlineData("https://metadata.google.internal/")]
    [InlineData("https://evil.test/?https://registry.test")]
    [InlineData("https://registry.test.evil.test/")]
    [InlineData("https://acct.blob.core.windows.net.evil.test/")]
    [InlineData("https://acct.blob.core.windows.net:22/")]
    [InlineData("https://acct.blob.core.windows.net:25/")]
    [InlineData("https://acct.blob.core.windows.net:2375/")]
    [InlineData("https://acct.blob.core.windows.net:6379/")]
    [InlineData("https://acct.blob.core.windows.net:80/")]
    [InlineData("https://acct.blob.core.windows.net./")]
    [InlineData("https://mcr.microsoft.com./")]
    [InlineData("https://xn--mcr-microsoft-x2a.com/")]
    [InlineData("HTTP://Metadata.Google.Internal/")]
    [InlineData("https://quay.io.Evil.Test/")]
    [InlineData("http://acct.blob.core.windows.net/")]
    [InlineData("https://blob.core.windows.net/")]
    public async Task Get_HostThatIsNotListed_IsForbidden(string url)
    {
        var answer = await SendAsync("GET", $"/blobs/{url}{(url.Contains('?', StringComparison.Ordinal) ? '&' : '?')}sig={Secret}", "Metadata: true");

        Assert.Equal((403, "DENIED"), (answer.Status, answer.ErrorCode()));
        Assert.DoesNotContain(Secret, System.Text.Encoding.UTF8.GetString(answer.Body), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("file:///etc/shadow")]
    [InlineData("ftp://h/p")]
    [InlineData("gopher://h/p")]
    [InlineData("unix:/run/containerd/containerd.sock")]
    [InlineData("unix:///run/containerd/containerd.sock")]
    [InlineData("//h/x")]
    [InlineData("//169.254.169.254/metadata/instance")]
    [InlineData("https:/one-slash")]
    [InlineData("/h/x")]
    [InlineData("")]
    [InlineData("javascript:alert(1)")]
    [InlineData("https://user:pw@registry.test/")]
    [InlineData("https://registry.test@evil.test/")]
    [InlineData("https://registry.test%2eevil.test/")]
    [InlineData("https%3A%2F%2Fregistry.test%2Fp")]
    [InlineData("https://registry.test/a\\b")]
    [InlineData("https://registry.test/%00")]
    [InlineData("https://registry.test/p#frag")]
    [InlineData("https://registry.test/a b")]
    [InlineData(" https://registry.test/a")]
    [InlineData("https://registry.test /a")]
    [InlineData("https://registry.test/a\u0001b")]
    [InlineData("https://registry.test/a\tb")]
    [InlineData("https://registry.test/a\u007fb")]
    [InlineData("https://registry.test/ä")]
    [InlineData("https://régistry.test/a")]
    [InlineData("https://registry%E3%80%82test/a")]
    [InlineData("https://registry.test:99999/a")]
    [InlineData("https://registry.test:/a\\@evil.test/")]
    public async Task Get_NoUrl_IsRefused(string url)
    {
        var answer = await SendAsync("GET", $"/blobs/{url}");

        Assert.Equal(400, answer.Status);
    }

    [Theory]
    [InlineData("POST")]
    [InlineData("PUT")]
    [InlineData("DELETE")]
    public async Task Other_Methods_AreRefused(string method)
    {
        var answer = await SendAsync(method, $"/blobs/https://registry.test/v2/r/blobs/{MirrorFixture.Unknown}", "Content-Length: 0");

        Assert.Equal((405, "GET, HEAD"), (answer.Status, answer.Header("Allow")));
    }

    // This machine by all its names, and a service of it that would answer.
    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.1")]
    [InlineData("2130706433")]
    [InlineData("0x7f.1")]
    [InlineData("017700000001")]
    [InlineData("0.0.0.0")]
    [InlineData("localhost")]
    [InlineData("localhost.")]
    [InlineData("[::ffff:127.0.0.1]")]
    [InlineData("[::]")]
    public async Task Get_HostThatIsNotListed_NoConnectionIsMade(string host)
    {
        using var service = new TcpListener(IPAddress.IPv6Any, 0);
        service.Server.DualMode = true;
        service.Start();
        var port = ((IPEndPoint)service.LocalEndpoint).Port;

        var answer = await SendAsync("GET", $"/blobs/http://{host}:{port}/metadata/instance?d={MirrorFixture.Unknown}", "Range: bytes=0-9", "Metadata: true");

        Assert.Equal((403, "DENIED"), (answer.Status, answer.ErrorCode()));
        Assert.False(service.Pending(), "somebody has connected");
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Get_ListedHostRedirectsToOneThatIsNot_IsNotFollowed(bool isShared)
    {
        using var service = new TcpListener(IPAddress.Loopback, 0);
        service.Start();
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(1000);
        mesh.Registry.RedirectBlobsTo(_ => $"http://{service.LocalEndpoint}/metadata/instance");

        await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
        var answer = await connection.SendAsync(
            "GET", $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}{(isShared ? string.Empty : $"?d={MirrorFixture.Unknown}")}", "Range: bytes=0-9", "Authorization: Bearer S3cret");

        Assert.Equal(502, answer.Status);
        Assert.False(service.Pending(), "somebody has connected");
        Assert.InRange(mesh.Registry.Requests.Count, 1, 3);
    }

    // A host is a name, however it is written; its port and its dot are part of it.
    [Fact]
    public async Task Get_HostInAnyCase_IsTheHostOfTheList()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var asked = new ConcurrentQueue<string>();
        await using var mesh = await TestMesh.StartAsync(
            registry: registry,
            settings: [$"--Peerd:Blobs:Hosts:0=http://store.test:{registry.Port}", "--Peerd:Blobs:AllowedNetworks:0=127.0.0.0/8"],
            customize: services => services.AddSingleton<HostResolver>((host, _) =>
            {
                asked.Enqueue(host);
                return Task.FromResult<IPAddress[]>([IPAddress.Loopback]);
            }));
        var sample = mesh.Blob(1000);

        foreach (var (host, status) in new[] { ("store.test", 206), ("Store.TEST", 206), ("store.test.", 403), ("xstore.test", 403), ("store.test.evil.test", 403) })
        {
            await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
            var answer = await connection.SendAsync("GET", $"/blobs/HTTP://{host}:{registry.Port}/v2/r/blobs/{sample.Digest}?d={MirrorFixture.Unknown}", "Range: bytes=0-9");
            Assert.Equal((host, status), (host, answer.Status));
        }

        Assert.All(asked, host => Assert.Equal("store.test", host, ignoreCase: true));
    }

    [Fact]
    public async Task Get_LongUrl_IsServedOrRefusedAsTooLong()
    {
        var sample = fixture.Mesh.Blob(1000);
        foreach (var parameter in new[] { "sig", "x=1&d=" + MirrorFixture.Unknown + "&sig" })
        {
            var query = $"{parameter}={new string('x', 7 * 1024)}";
            var served = await SendAsync("GET", $"/blobs/{fixture.Mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?{query}", "Range: bytes=10-99");
            Assert.Equal(206, served.Status);
            Assert.Equal(sample.Bytes[10..100], served.Body);
            Assert.Contains(fixture.Mesh.Registry.Requests, request => request.Target.EndsWith(query, StringComparison.Ordinal));
        }

        Assert.Equal(403, (await SendAsync("GET", $"/blobs/https://evil.test/{new string('x', 7 * 1024)}")).Status);

        await using var connection = await RawConnection.ConnectAsync(fixture.Mesh.Node.Client.BaseAddress!.Port);
        await connection.WriteRequestAsync("GET", $"/blobs/https://evil.test/{new string('x', 20 * 1024)}");
        Assert.Equal(414, (await connection.ReadAnswerAsync()).Status);
    }

    [Fact]
    public async Task Get_SecretsInTheUrlAndTheHeaders_AreNotLogged()
    {
        var sample = fixture.Mesh.Blob(1000);
        foreach (var digest in new[] { sample.Digest.ToString(), MirrorFixture.Unknown })
        {
            await SendAsync("GET", $"/blobs/{fixture.Mesh.Registry.Url}/v2/r/blobs/{digest}?sig={Secret}", "Range: bytes=0-9", $"Authorization: Bearer {Secret}");
            await SendAsync("GET", $"/blobs/{fixture.Mesh.Registry.Url}/v2/r/blobs/{digest}?x=1&d={MirrorFixture.Unknown}&sig={Secret}", $"Authorization: Bearer {Secret}");
        }

        Assert.Contains(fixture.Mesh.Registry.Requests, request => request.Target.Contains(Secret, StringComparison.Ordinal));
        Assert.DoesNotContain(fixture.Mesh.Node.Logs.GetSnapshot(), (FakeLogRecord record) => record.ToString().Contains(Secret, StringComparison.Ordinal));
    }

    // As Artifact Registry does it: who knows the path may read what is there.
    [Theory]
    [InlineData("/artifacts-downloads/namespaces/n/downloads/S3cretSignature", 404)]
    [InlineData("https://evil.test/downloads/S3cretSignature", 502)]
    [InlineData("/S3cretSignature/loop", 502)]
    [InlineData("/S3cretSignature/missing", 502)]
    public async Task Get_SecretInThePath_IsNotLoggedNorTold(string location, int status)
    {
        await using var mesh = await TestMesh.StartAsync();
        mesh.Registry.Intercept = context =>
        {
            var path = context.Request.Path.Value!;
            context.Response.StatusCode = path.StartsWith("/artifacts-downloads", StringComparison.Ordinal) ? 404 : 307;
            context.Response.Headers.Location = path.EndsWith("/missing", StringComparison.Ordinal) ? default : path.EndsWith("/loop", StringComparison.Ordinal) ? path : location;
            return Task.FromResult(true);
        };

        foreach (var url in new[] { $"/v2/r/blobs/{MirrorFixture.Unknown}", $"/downloads/{Secret}" })
        {
            await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
            var answer = await connection.SendAsync("GET", $"/blobs/{mesh.Registry.Url}{url}", "Range: bytes=0-9");
            Assert.Equal(status, answer.Status);
            Assert.DoesNotContain(Secret, System.Text.Encoding.UTF8.GetString(answer.Body), StringComparison.Ordinal);
        }

        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), (FakeLogRecord record) => record.ToString().Contains(Secret, StringComparison.Ordinal));
    }

    private async Task<RawAnswer> SendAsync(string method, string target, params string[] headers)
    {
        await using var connection = await RawConnection.ConnectAsync(fixture.Mesh.Node.Client.BaseAddress!.Port);
        return await connection.SendAsync(method, target, headers);
    }

    public sealed class NodeFixture : IAsyncLifetime
    {
        internal TestMesh Mesh { get; private set; } = null!;

        public async ValueTask InitializeAsync() => Mesh = await TestMesh.StartAsync();

        public ValueTask DisposeAsync() => Mesh.DisposeAsync();
    }
}
