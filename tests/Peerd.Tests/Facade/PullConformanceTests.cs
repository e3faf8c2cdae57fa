using System.Security.Cryptography;
using System.Text;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Node.Origin;
using static Peerd.Tests.Facade.MirrorAnswer;

namespace Peerd.Tests.Facade;

/// <summary>
/// What the OCI distribution specification (1.1.1, and what is agreed on for the next one) demands of whom images are pulled
/// from: names, manifests, blobs, checks for existence, digests, namespaces, methods. Ranges and errors have classes of their
/// own; lists of tags and referrers are no part of a pull.
/// </summary>
public sealed class PullConformanceTests(MirrorFixture image) : IClassFixture<MirrorFixture>
{
    private const string ContainerdAccept = "Accept: application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, */*";

    // With the name of the registry before it: clients that take no more than 255 characters of both do not ask, and others are served.
    private const int LongestName = 255;

    public static TheoryData<string> GoodNames => ["a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c", "a.b_c-d/e__f/0", "manifests/blobs/tags/list", new string('a', LongestName)];

    public static TheoryData<string> BadNames => ["A", "a..b", "a___b", ".a", "a.", "-a", "a-", "_a", "a/", "a//b", "a/-b", "a+b", "a:b", new string('a', LongestName + 1)];

    public static TheoryData<string> GoodTags => ["v1", "_", "A", "0", "a.b-c_d", "sha256-abc", new string('t', 128)];

    public static TheoryData<string> BadTags => [".a", "-a", "a+b", "a@b", "a~b", new string('t', 129)];

    public static TheoryData<string> BadDigests =>
    [
        "sha256:", "sha256:abc", "sha256", ":", "sha256:" + new string('a', 63), "sha256:" + new string('a', 65), "sha256:" + new string('A', 64),
        "sha256:" + new string('g', 64), "SHA256:" + new string('a', 64), "sha512:" + new string('a', 64), "sha512:" + new string('a', 129),
        "md5:" + new string('a', 32), "blake3:" + new string('a', 64), "sha256+b64:" + new string('a', 64), "sha256:" + new string('a', 10_000),
    ];

    // Determining support

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

    // Pulling manifests: names, tags, digests

    [Theory]
    [MemberData(nameof(GoodNames))]
    public async Task Name_WithinTheGrammar_IsServed(string name)
    {
        Assert.Equal(200, (await image.Host.GetAsync($"/v2/{name}/manifests/{image.IndexDigest}?ns=reg.test")).Status);
        Assert.Equal(200, (await image.Host.GetAsync($"/v2/{name}/blobs/{image.ConfigDigest}?ns=reg.test")).Status);
    }

    [Theory]
    [MemberData(nameof(BadNames))]
    public async Task Name_OutsideTheGrammar_IsInvalid(string name)
    {
        foreach (var what in new[] { "manifests/v1", $"manifests/{image.IndexDigest}", $"blobs/{image.ConfigDigest}" })
        {
            await AssertErrorAsync($"/v2/{name}/{what}?ns=reg.test", 400, RegistryError.NameInvalid);
        }
    }

    [Theory]
    [MemberData(nameof(GoodTags))]
    public async Task Tag_WithinTheGrammar_IsServed(string tag)
    {
        image.Host.Origin.Tag(tag, image.IndexDigest, image.Index.Length, MirrorFixture.IndexType);

        AssertManifest(await image.Host.GetAsync($"/v2/team/app/manifests/{tag}?ns=reg.test"), image.Index, image.IndexDigest, MirrorFixture.IndexType);
    }

    [Theory]
    [MemberData(nameof(BadTags))]
    public Task Tag_OutsideTheGrammar_IsInvalid(string tag) =>
        AssertErrorAsync($"/v2/team/app/manifests/{tag}?ns=reg.test", 400, RegistryError.NameInvalid);

    [Theory]
    [MemberData(nameof(BadDigests))]
    public async Task Digest_MalformedOrOfUnknownAlgorithm_IsInvalid(string digest)
    {
        await AssertErrorAsync($"/v2/team/app/blobs/{digest}?ns=reg.test", 400, RegistryError.DigestInvalid);
        if (digest.Contains(':', StringComparison.Ordinal))
        {
            await AssertErrorAsync($"/v2/team/app/manifests/{digest}?ns=reg.test", 400, RegistryError.DigestInvalid);
        }
    }

    // Pulling manifests

    [Theory]
    [InlineData("HEAD")]
    [InlineData("GET")]
    public async Task ManifestByTag_Known_HasExactHead(string method)
    {
        var answer = await image.Host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test", ContainerdAccept);

        AssertManifest(answer, image.Index, image.IndexDigest, MirrorFixture.IndexType);
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
        Assert.Equal(method == "HEAD" ? [] : image.Index, index.Body);
        Assert.Equal(method == "HEAD" ? [] : image.Manifest, manifest.Body);
    }

    [Theory]
    [InlineData("application/vnd.oci.image.manifest.v1+json")]
    [InlineData("application/vnd.oci.image.index.v1+json")]
    [InlineData("application/vnd.docker.distribution.manifest.v2+json")]
    [InlineData("application/vnd.docker.distribution.manifest.list.v2+json")]
    public async Task Manifest_OfEachType_HasThatTypeWithoutParameters(string mediaType)
    {
        await using var host = await FacadeHost.StartAsync();
        var bytes = Encoding.UTF8.GetBytes($$"""{"schemaVersion":2,"mediaType":"{{mediaType}}"}""");
        var digest = host.Contents.Add(bytes);
        host.Origin.Tag("v1", digest, bytes.Length, mediaType);

        foreach (var method in new[] { "HEAD", "GET" })
        {
            AssertManifest(await host.SendAsync(method, $"/v2/team/app/manifests/{digest}?ns=reg.test"), bytes, digest, mediaType);
            AssertManifest(await host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test"), bytes, digest, mediaType);
        }
    }

    // Also when the content exists, but as a blob: the whole pull ends if containerd takes a layer for a manifest.
    [Fact]
    public async Task Manifest_ThatIsALayer_IsUnknown() =>
        await AssertErrorAsync($"/v2/team/app/manifests/{image.LayerDigest}?ns=reg.test", 404, RegistryError.ManifestUnknown);

    // Pulling blobs

    // Clients read the type of a blob in its descriptor; what the origin said of it is passed on all the same.
    [Fact]
    public async Task Blob_OfKnownType_HasThatType()
    {
        const string Type = "text/html";
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Config, Type);
        var target = $"/v2/team/app/blobs/{digest}?ns=reg.test";

        AssertBlobHead(await host.SendAsync("HEAD", target), digest, image.Config.Length, Type);
        AssertBlobHead(await host.GetAsync(target), digest, image.Config.Length, Type);
        AssertBlobHead(await host.GetAsync(target, "Range: bytes=1-2"), digest, 2, Type);
    }

    [Fact]
    public async Task Blob_Get_HasExactHeadAndBytes()
    {
        foreach (var (digest, bytes) in new[] { (image.ConfigDigest, image.Config), (image.LayerDigest, image.Layer), (image.ManifestDigest, image.Manifest) })
        {
            var answer = await image.Host.GetAsync($"/v2/team/app/blobs/{digest}?ns=reg.test", "Accept-Encoding: gzip");

            Assert.Equal(200, answer.Status);
            AssertBlobHead(answer, digest, bytes.Length);
            Assert.Equal(digest, Digest.OfSha256(answer.Body));
        }
    }

    // Checking if content exists

    [Fact]
    public async Task Blob_Head_HasLengthAndNoBodyWhateverRange()
    {
        var answer = await image.Host.HeadAsync($"/v2/team/app/blobs/{image.LayerDigest}?ns=reg.test", "Range: bytes=5-9");

        Assert.Equal((200, 0), (answer.Status, answer.Body.Length));
        AssertBlobHead(answer, image.LayerDigest, MirrorFixture.LayerSize);
        Assert.Null(answer.Header("Content-Range"));
    }

    [Theory]
    [InlineData("manifests/nope", RegistryError.ManifestUnknown)]
    [InlineData("manifests/" + MirrorFixture.Unknown, RegistryError.ManifestUnknown)]
    [InlineData("blobs/" + MirrorFixture.Unknown, RegistryError.BlobUnknown)]
    public async Task Content_Unknown_IsNotFound(string what, string code)
    {
        await AssertErrorAsync($"/v2/team/app/{what}?ns=reg.test", 404, code);
        await AssertErrorAsync($"/v2/unknown/repository/{what}?ns=reg.test", 404, code);
    }

    // Digests: both registered algorithms

    [Theory]
    [InlineData("HEAD")]
    [InlineData("GET")]
    public async Task Content_OfSha512_IsServedUnderThatDigest(string method)
    {
        await using var host = await FacadeHost.StartAsync();
        var config = host.Contents.AddSha512(image.Config);
        var index = host.Contents.AddSha512(image.Index, MirrorFixture.IndexType);
        host.Origin.Tag("v1", index, image.Index.Length, MirrorFixture.IndexType);

        var blob = await host.SendAsync(method, $"/v2/team/app/blobs/{config}?ns=reg.test");
        var manifest = await host.SendAsync(method, $"/v2/team/app/manifests/{index}?ns=reg.test");
        var tagged = await host.SendAsync(method, "/v2/team/app/manifests/v1?ns=reg.test");

        Assert.Equal(200, blob.Status);
        AssertBlobHead(blob, config, image.Config.Length);
        AssertManifest(manifest, image.Index, index, MirrorFixture.IndexType);
        AssertManifest(tagged, image.Index, index, MirrorFixture.IndexType);
        if (method == "GET")
        {
            Assert.Equal(image.Config, blob.Body);
            Assert.Equal(image.Index, manifest.Body);
            Assert.Equal(image.Index, tagged.Body);
            Assert.Equal(config, Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData(blob.Body)));
        }
    }

    // Registry proxying

    [Theory]
    [InlineData("?ns=quay.io%3A8443", "quay.io:8443", "quay.io:8443")]
    [InlineData("?ns=docker.io", "docker.io", "docker.io")]
    [InlineData("", "docker.io", null)]
    public async Task Namespace_OfRequest_IsTheRegistryAskedAndToldBack(string query, string registry, string? told)
    {
        await using var host = await FacadeHost.StartAsync();
        var digest = host.Contents.Add(image.Config);

        var answer = await host.GetAsync($"/v2/library/alpine/blobs/{digest}{query}");
        await host.GetAsync($"/v2/library/alpine/manifests/latest{query}");

        Assert.Equal((200, told), (answer.Status, answer.Header("OCI-Namespace")));
        Assert.Equal(new OriginReference(registry, "library/alpine", OriginKind.Blob, digest.ToString()), Assert.Single(host.Contents.Opened).Request.Origin);
        Assert.Equal(new OriginReference(registry, "library/alpine", OriginKind.Manifest, "latest"), Assert.Single(host.Origin.Asked));
    }

    // Methods that change something

    [Theory]
    [InlineData("PUT")]
    [InlineData("POST")]
    [InlineData("PATCH")]
    [InlineData("DELETE")]
    [InlineData("OPTIONS")]
    [InlineData("TRACE")]
    public async Task Method_OtherThanRead_IsNotAllowed(string method)
    {
        foreach (var target in new[] { "manifests/v1", "blobs/" + MirrorFixture.Unknown, "blobs/uploads/", "blobs/uploads/1", "tags/list" })
        {
            var answer = await image.Host.SendAsync(method, $"/v2/team/app/{target}?ns=reg.test");

            Assert.Equal((405, "GET, HEAD", RegistryError.Unsupported), (answer.Status, answer.Header("Allow"), answer.ErrorCode()));
            Assert.Null(answer.Header("Connection"));
        }
    }

    private async Task AssertErrorAsync(string target, int status, string code)
    {
        var answer = await image.Host.GetAsync(target);
        var head = await image.Host.HeadAsync(target);

        Assert.Equal((status, code), (answer.Status, answer.ErrorCode()));
        Assert.Equal((status, answer.Header("Content-Length"), 0), (head.Status, head.Header("Content-Length"), head.Body.Length));
        Assert.Null(answer.Header("Docker-Content-Digest"));
    }
}
