using System.Net;
using System.Text;
using Peerd.Contracts;

namespace Peerd.Tests.Hosting;

/// <summary>Lists of tags and referrers, which only the registry knows (OCI distribution specification 1.1).</summary>
public sealed class ListTests
{
    private const string Index = "application/vnd.oci.image.index.v1+json";
    private static readonly Digest Subject = Digest.OfSha256("subject"u8);

    [Theory]
    [InlineData("</v2/other/tags/list?n=2&last=b%2Fc>; rel=\"next\"")]
    [InlineData("<https://elsewhere.test/v2/x/tags/list?last=b/c&evil=1&n=2>; rel=\"next\"")]
    public async Task Tags_WithALink_ComeFromTheRegistryAndGoOnHere(string link)
    {
        await using var mesh = await StartAsync();
        Serve(mesh, "application/json", """{"name":"library/test","tags":["a","b"]}""", link);

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/tags/list?n=2&last=a%20b&ns={TestNode.Registry}&x=%0d");
        using var first = await mesh.Node.Client.GetAsync($"/v2/library/test/tags/list?ns={TestNode.Registry}&n=2&x=%0d");

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Equal(HttpStatusCode.OK, first.StatusCode);
        Assert.Equal("""{"name":"library/test","tags":["a","b"]}""", await first.Content.ReadAsStringAsync());
        Assert.Equal("application/json", first.Content.Headers.ContentType?.ToString());
        var next = Assert.Single(first.Headers.GetValues("Link"));
        Assert.StartsWith("</v2/library/test/tags/list?", next, StringComparison.Ordinal);
        Assert.EndsWith($"&ns={TestNode.Registry}>; rel=\"next\"", next, StringComparison.Ordinal);
        Assert.Contains("last=b%2Fc", next, StringComparison.Ordinal);
        Assert.DoesNotContain("evil", next, StringComparison.Ordinal);
        Assert.Equal("/v2/library/test/tags/list?n=2", Assert.Single(mesh.Registry.Requests).Target);
    }

    [Fact]
    public async Task Referrers_Filtered_ComeFromTheRegistryAndSaySo()
    {
        await using var mesh = await StartAsync();
        Serve(mesh, Index, "{}", link: null);

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/referrers/{Subject}?artifactType=application/x%2By&ns={TestNode.Registry}");

        Assert.Equal((HttpStatusCode.OK, Index, "artifactType"), (answer.StatusCode, answer.Content.Headers.ContentType?.ToString(), Assert.Single(answer.Headers.GetValues("OCI-Filters-Applied"))));
        Assert.Equal($"/v2/library/test/referrers/{Subject}?artifactType=application%2Fx%2By", Assert.Single(mesh.Registry.Requests).Target);
    }

    [Theory]
    [InlineData(HttpStatusCode.NotFound, HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.ServiceUnavailable, HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.TooManyRequests, HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.Forbidden, HttpStatusCode.Forbidden)]
    public async Task Lists_RegistryRefuses_AreOciErrors(HttpStatusCode status, HttpStatusCode expected)
    {
        await using var mesh = await StartAsync();
        mesh.Registry.AnswerWith(status);

        foreach (var list in new[] { "tags/list", $"referrers/{Subject}" })
        {
            using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/{list}?ns={TestNode.Registry}");

            Assert.Equal(expected, answer.StatusCode);
            Assert.Contains("\"errors\"", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Lists_RegistryIsGone_AreNotFound()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Origin:Retries=0", "--Peerd:Origin:Registries:0:Endpoint=http://127.0.0.1:1"]);

        foreach (var list in new[] { "tags/list", $"referrers/{Subject}" })
        {
            using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/{list}?ns={TestNode.Registry}");

            Assert.Equal(HttpStatusCode.NotFound, answer.StatusCode);
            Assert.Contains("\"errors\"", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("0", null)]
    [InlineData("0", "</v2/library/test/tags/list?n=0&last=a>; rel=\"next\"")]
    [InlineData("000", "</v2/library/test/tags/list?last=a>; rel=\"next\"")]
    public async Task Tags_NoneAreWanted_TheRegistryIsAskedForNoneAndNoLinkFollows(string n, string? link)
    {
        await using var mesh = await StartAsync();
        Serve(mesh, "application/json", """{"name":"library/test","tags":[]}""", link);

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/tags/list?n={n}&ns={TestNode.Registry}");

        Assert.Equal("""{"name":"library/test","tags":[]}""", await answer.Content.ReadAsStringAsync());
        Assert.False(answer.Headers.Contains("Link"));
        Assert.Equal($"/v2/library/test/tags/list?n={n}", Assert.Single(mesh.Registry.Requests).Target);
    }

    [Theory]
    [InlineData("sha256:abc")]
    [InlineData("sha256:")]
    [InlineData("md5:d41d8cd98f00b204e9800998ecf8427e")]
    [InlineData("v1")]
    public async Task Referrers_OfAMalformedDigest_AreABadRequest(string digest)
    {
        await using var mesh = await StartAsync();

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/referrers/{digest}?ns={TestNode.Registry}");

        Assert.Equal(HttpStatusCode.BadRequest, answer.StatusCode);
        Assert.Contains("\"DIGEST_INVALID\"", await answer.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Empty(mesh.Registry.Requests);
    }

    [Fact]
    public async Task Referrers_NoneWithALink_AreAnEmptyIndexThatGoesOnHere()
    {
        const string Empty = """{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}""";
        await using var mesh = await StartAsync();
        Serve(mesh, Index, Empty, $"</v2/library/test/referrers/{Subject}?last=x>; rel=\"next\"");

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/referrers/{Subject}?ns={TestNode.Registry}");

        Assert.Equal((HttpStatusCode.OK, Empty), (answer.StatusCode, await answer.Content.ReadAsStringAsync()));
        Assert.Equal($"</v2/library/test/referrers/{Subject}?last=x&ns={TestNode.Registry}>; rel=\"next\"", Assert.Single(answer.Headers.GetValues("Link")));
    }

    [Fact]
    public async Task Lists_TooLargeOrCut_AreNotSent()
    {
        await using var mesh = await StartAsync();
        Serve(mesh, "application/json", new string(' ', (4 * 1024 * 1024) + 1), link: null);

        using var answer = await mesh.Node.Client.GetAsync($"/v2/library/test/tags/list?ns={TestNode.Registry}");

        Assert.Equal(HttpStatusCode.BadGateway, answer.StatusCode);
    }

    [Fact]
    public async Task Lists_Head_IsNotAllowed()
    {
        await using var mesh = await StartAsync();
        using var request = new HttpRequestMessage(HttpMethod.Head, $"/v2/library/test/tags/list?ns={TestNode.Registry}");

        using var answer = await mesh.Node.Client.SendAsync(request);

        Assert.Equal((HttpStatusCode.MethodNotAllowed, "GET"), (answer.StatusCode, Assert.Single(answer.Content.Headers.Allow)));
        Assert.Empty(mesh.Registry.Requests);
    }

    private static Task<TestMesh> StartAsync() => TestMesh.StartAsync(settings: ["--Peerd:Origin:Retries=0"]);

    private static void Serve(TestMesh mesh, string mediaType, string body, string? link) => mesh.Registry.Intercept = async context =>
    {
        context.Response.ContentType = mediaType;
        context.Response.Headers["OCI-Filters-Applied"] = "artifactType";
        if (link is not null)
        {
            context.Response.Headers.Link = link;
        }

        await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(body));
        return true;
    };
}
