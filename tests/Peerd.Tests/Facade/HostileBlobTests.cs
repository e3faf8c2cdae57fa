using Microsoft.Extensions.Logging.Testing;
using Peerd.Tests.Hosting;

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
    [InlineData("https://acct.blob.core.windows.net:6379/")]
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

    [Fact]
    public async Task Get_LongUrl_IsServedOrRefusedAsTooLong()
    {
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
