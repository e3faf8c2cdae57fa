using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using Peerd.Contracts;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli.Demo;

public sealed class DemoRegistryTests : IAsyncLifetime
{
    private static readonly GeneratedImage Image = GeneratedImage.Create(new GeneratedImageOptions(300_000, 2));

    private readonly HttpClient _http = new();
    private DemoRegistry _registry = null!;

    public async ValueTask InitializeAsync()
    {
        _registry = await DemoRegistry.StartAsync(Image, "team/app", "v1", CancellationToken.None);
        _http.BaseAddress = _registry.Endpoint;
    }

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _registry.DisposeAsync();
    }

    [Fact]
    public async Task Get_ManifestByTagAndDigest_IsTheSameContent()
    {
        var byTag = await _http.GetAsync("/v2/team/app/manifests/v1");
        var byDigest = await _http.GetAsync($"/v2/team/app/manifests/{Image.Index.Digest}");

        foreach (var response in new[] { byTag, byDigest })
        {
            Assert.Equal(HttpStatusCode.OK, response.StatusCode);
            Assert.Equal(GeneratedImage.IndexMediaType, response.Content.Headers.ContentType!.ToString());
            Assert.Equal(Image.Index.Digest.ToString(), Assert.Single(response.Headers.GetValues("Docker-Content-Digest")));
            Assert.Equal(Image.Index.Digest, Digest.OfSha256(await response.Content.ReadAsByteArrayAsync()));
        }

        Assert.Equal(new ContentCount(2, 2 * Image.Index.Size), _registry.Counts.Of(Image.Index.Digest));
    }

    [Fact]
    public async Task Get_EveryBlob_IsCountedOnceInFull()
    {
        foreach (var content in Image.Layers.Prepend(Image.Config))
        {
            Assert.Equal(content.Digest, Digest.OfSha256(await _http.GetByteArrayAsync($"/v2/team/app/blobs/{content.Digest}")));
            Assert.Equal(new ContentCount(1, content.Size), _registry.Counts.Of(content.Digest));
        }

        Assert.Equal((3, Image.TotalBytes - Image.Index.Size - Image.Manifest.Size), (_registry.Counts.Requests, _registry.Counts.BodyBytes));
    }

    [Fact]
    public async Task Head_OfABlob_HasTheHeadersAndCountsNoByte()
    {
        var layer = Image.Layers[0];
        var response = await _http.SendAsync(new HttpRequestMessage(HttpMethod.Head, $"/v2/team/app/blobs/{layer.Digest}"));

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(layer.Size, response.Content.Headers.ContentLength);
        Assert.Equal(new ContentCount(1, 0), _registry.Counts.Of(layer.Digest));
    }

    [Theory]
    [InlineData("bytes=0-0", 0, 1)]
    [InlineData("bytes=100-70099", 100, 70_000)]
    [InlineData("bytes=150000-", 150_000, null)]
    [InlineData("bytes=-5", -5, 5)]
    [InlineData("bytes=-999999999", 0, null)]
    [InlineData("bytes=7-999999999", 7, null)]
    public async Task Get_SingleRange_SendsAndCountsJustThat(string range, long from, int? count)
    {
        var layer = Image.Layers[0];
        var start = from < 0 ? layer.Size + from : from;
        var expected = new byte[count ?? (int)(layer.Size - start)];
        layer.Bytes.Read(start, expected);

        var response = await GetRangeAsync(layer, range);

        Assert.Equal(HttpStatusCode.PartialContent, response.StatusCode);
        Assert.Equal(new ContentRangeHeaderValue(start, start + expected.Length - 1, layer.Size), response.Content.Headers.ContentRange);
        Assert.Equal(expected, await response.Content.ReadAsByteArrayAsync());
        Assert.Equal(new ContentCount(1, expected.Length), _registry.Counts.Of(layer.Digest));
    }

    [Theory]
    [InlineData("bytes=999999999-")]
    [InlineData("bytes=-0")]
    public async Task Get_RangeOutside_IsRefusedWithTheSize(string range)
    {
        var layer = Image.Layers[0];
        var response = await GetRangeAsync(layer, range);

        Assert.Equal(HttpStatusCode.RequestedRangeNotSatisfiable, response.StatusCode);
        Assert.Equal(new ContentRangeHeaderValue(layer.Size), response.Content.Headers.ContentRange);
        Assert.Equal(0, _registry.Counts.BodyBytes);
    }

    [Theory]
    [InlineData("bytes=0-1,5-6")]
    [InlineData("bytes=6-5")]
    [InlineData("lines=1-2")]
    public async Task Get_RangeThatIsNotSupported_SendsAll(string range)
    {
        var response = await GetRangeAsync(Image.Config, range);

        Assert.Equal(HttpStatusCode.OK, response.StatusCode);
        Assert.Equal(Image.Config.Size, (await response.Content.ReadAsByteArrayAsync()).Length);
    }

    [Theory]
    [InlineData("/v2/team/app/manifests/v2", "MANIFEST_UNKNOWN")]
    [InlineData("/v2/team/app/blobs/sha256:12", "BLOB_UNKNOWN")]
    [InlineData("/v2/team/other/manifests/v1", "MANIFEST_UNKNOWN")]
    [InlineData("/v2/team/app/blobs/v1", "BLOB_UNKNOWN")]
    public async Task Get_WhatIsNotThere_Is404(string path, string code)
    {
        var response = await _http.GetAsync(path);

        Assert.Equal(HttpStatusCode.NotFound, response.StatusCode);
        Assert.Contains($"\"code\":\"{code}\"", await response.Content.ReadAsStringAsync(), StringComparison.Ordinal);
        Assert.Equal((1, 0), (_registry.Counts.Requests, _registry.Counts.BodyBytes));
    }

    [Fact]
    public async Task Get_Api_IsThere() => Assert.Equal("{}", await _http.GetStringAsync("/v2/"));

    [Fact]
    public async Task Put_Anything_Is405() =>
        Assert.Equal(HttpStatusCode.MethodNotAllowed, (await _http.PutAsync("/v2/team/app/manifests/v1", new ByteArrayContent([]))).StatusCode);

    [Fact]
    public async Task Get_ClientGoesAway_CountsWhatWasSentAndNotTheWhole()
    {
        var image = GeneratedImage.Create(new GeneratedImageOptions(200L << 20, 1));
        await using var registry = await DemoRegistry.StartAsync(image, "team/app", "v1", CancellationToken.None);
        var layer = image.Layers[0];
        const int read = 1_000_000;
        using (var socket = new Socket(SocketType.Stream, ProtocolType.Tcp))
        {
            await socket.ConnectAsync(IPAddress.Loopback, registry.Endpoint.Port);
            await socket.SendAsync(Encoding.ASCII.GetBytes($"GET /v2/team/app/blobs/{layer.Digest} HTTP/1.1\r\nHost: x\r\n\r\n"));
            await new NetworkStream(socket).ReadExactlyAsync(new byte[read]);
        }

        // Stopping ends the request that is under way: the count is final then.
        await registry.DisposeAsync();

        // Beyond what the client read, socket buffers of both ends may have taken some.
        Assert.InRange(registry.Counts.Of(layer.Digest).BodyBytes, read - 1024, layer.Size / 2);
    }

    [Fact]
    public async Task Get_ManyAtOnce_CountsAll()
    {
        await Parallel.ForAsync(0, 32, async (_, stop) => await _http.GetByteArrayAsync($"/v2/team/app/blobs/{Image.Layers[1].Digest}", stop));

        Assert.Equal(new ContentCount(32, 32 * Image.Layers[1].Size), _registry.Counts.Of(Image.Layers[1].Digest));
    }

    private Task<HttpResponseMessage> GetRangeAsync(ImageContent content, string range)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/team/app/blobs/{content.Digest}");
        request.Headers.TryAddWithoutValidation("Range", range);
        return _http.SendAsync(request);
    }
}
