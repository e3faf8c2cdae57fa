using System.Net;
using System.Text;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Node.Content;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>What a client of <c>/blobs/&lt;absolute URL&gt;</c> sees when it is the URL itself that answers, or does not.</summary>
public sealed class BlobUrlAnswerTests
{
    private const int MiB = 1024 * 1024;

    private static readonly string NoDigest = $"&d=sha256:{new string('0', 64)}";

    // The head of the host says nothing: only with the first bytes is there an answer.
    [Theory]
    [InlineData(null, false)]
    [InlineData(null, true)]
    [InlineData("bytes=0-8388607", false)]
    [InlineData("bytes=0-8388607", true)]
    [InlineData("bytes=0-99", false)]
    public async Task Get_HostSendsItsHeadAndNothingMore_IsAnErrorInTime(string? range, bool hasDigest)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Blobs:AnswerTimeout=1s", "--Peerd:Origin:IdleTimeout=2s"]);
        var sample = mesh.Blob(16 * MiB);
        mesh.Registry.Intercept = async context =>
        {
            await SendHeadAsync(context);
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            return true;
        };
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}{(hasDigest ? string.Empty : NoDigest)}", range is null ? [] : [$"Range: {range}"]);

        Assert.Equal((504, "UNAVAILABLE"), (answer.Status, answer.ErrorCode()));
        Assert.Null(answer.Header("Content-Range"));
    }

    // Nothing was sent yet: the client hears what the host says when it is asked again, and nothing of a part.
    [Theory]
    [InlineData(null, 403, 403, "DENIED")]
    [InlineData(null, 416, 502, "UNAVAILABLE")]
    [InlineData("bytes=0-99", 416, 502, "UNAVAILABLE")]
    [InlineData("bytes=0-8388607", 403, 403, "DENIED")]
    [InlineData("bytes=0-8388607", 404, 404, "BLOB_UNKNOWN")]
    [InlineData("bytes=0-8388607", 0, 502, "UNAVAILABLE")]
    [InlineData("bytes=0-99", 403, 403, "DENIED")]
    public async Task Get_HostSendsItsHeadAndBreaksOff_IsWhatItSaysNext(string? range, int next, int status, string code)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(16 * MiB);
        var asked = 0;
        mesh.Registry.Intercept = async context =>
        {
            if (Interlocked.Increment(ref asked) > 1 && next != 0)
            {
                context.Response.StatusCode = next;
                return true;
            }

            // The connection ends with FIN so: after a reset nobody may see the head.
            await SendHeadAsync(context);
            throw new InvalidOperationException("broken off on purpose");
        };
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}{NoDigest}", range is null ? [] : [$"Range: {range}"]);

        Assert.True((status, code) == (answer.Status, answer.ErrorCode()), Encoding.UTF8.GetString(answer.Body));
        Assert.Null(answer.Header("Content-Range"));
    }

    // All of it is here before any of it is sent.
    [Fact]
    public async Task Get_HostHasOtherBytesInOneBlock_IsAnError()
    {
        await using var mesh = await StartWithoutMeshAsync();
        var sample = mesh.Blob(100);
        mesh.Registry.Fail(FakeFault.WrongBytes);
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}");

        Assert.Equal((502, "UNAVAILABLE"), (answer.Status, answer.ErrorCode()));
    }

    [Fact]
    public async Task Get_HostBreaksOffOnce_IsExactlyTheRange()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        mesh.Registry.Fail(FakeFault.Truncate, times: 1);

        var answer = await ReadAsync(mesh.Node, UrlOf(mesh, sample) + NoDigest, "bytes=0-99999");

        Assert.Equal((206, $"bytes 0-99999/{MiB}"), (answer.Status, answer.Header("Content-Range")));
        Assert.True(sample.Bytes.AsSpan(0, 100_000).SequenceEqual(answer.Body));
        Assert.Equal(2, mesh.Registry.RequestsFor(sample.Digest));
    }

    // Neither does the client hear one then: it sees the end all the same.
    [Theory]
    [InlineData(100, true, true)]
    [InlineData(100, false, false)]
    [InlineData(MiB + 1, true, false)]
    [InlineData(MiB + 1, false, true)]
    public async Task Get_HostTellsNoSize_IsPassedOnWithout(int size, bool hasDigest, bool isChunked)
    {
        await using var mesh = await StartWithoutMeshAsync();
        var sample = mesh.Blob(size);
        mesh.Registry.Intercept = async context =>
        {
            // Some other coding than chunked: the body ends with the connection.
            context.Response.Headers.TransferEncoding = isChunked ? default : new("identity");
            await context.Response.Body.WriteAsync(sample.Bytes);
            return true;
        };
        var target = $"/blobs/{UrlOf(mesh, sample)}{(hasDigest ? string.Empty : NoDigest)}";
        await using var connection = await ConnectAsync(mesh.Node);

        using var whole = await mesh.Node.Client.GetAsync(target, TestContext.Current.CancellationToken);
        await connection.WriteRequestAsync("HEAD", target);
        var head = await connection.ReadAnswerAsync(hasBody: false);
        var part = await connection.SendAsync("GET", target, "Range: bytes=0-9");

        Assert.Equal(HttpStatusCode.OK, whole.StatusCode);
        Assert.True(whole.Headers.TransferEncodingChunked);
        var bytes = await whole.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
        Assert.True(sample.Bytes.AsSpan().SequenceEqual(bytes));
        Assert.Equal((200, null), (head.Status, head.Header("Content-Length")));

        // Who asks for a part takes the size from its answer.
        Assert.Equal((502, "UNAVAILABLE"), (part.Status, part.ErrorCode()));

        // Who knows no chunks could not tell the end from a break.
        using var old = new HttpRequestMessage(HttpMethod.Get, target) { Version = HttpVersion.Version10, VersionPolicy = HttpVersionPolicy.RequestVersionExact };
        using var refusal = await mesh.Node.Client.SendAsync(old, TestContext.Current.CancellationToken);
        Assert.Equal(HttpStatusCode.BadGateway, refusal.StatusCode);
    }

    [Theory]
    [InlineData(MiB, FakeFault.Truncate, true)]
    [InlineData(MiB, FakeFault.Truncate, false)]
    [InlineData(MiB, FakeFault.WrongBytes, true)]
    public async Task Get_HostTellsNoSizeAndBreaksOffOrIsWrong_IsCut(int size, FakeFault fault, bool hasDigest)
    {
        await using var mesh = await StartWithoutMeshAsync();
        var sample = mesh.Blob(size);
        mesh.Registry.Fail(FakeFault.Chunked | fault);

        using var answer = await mesh.Node.Client.GetAsync($"/blobs/{UrlOf(mesh, sample)}{(hasDigest ? string.Empty : NoDigest)}", HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        await Assert.ThrowsAsync<HttpRequestException>(() => answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
    }

    // All of it is here before any of it is sent.
    [Theory]
    [InlineData(FakeFault.Truncate, true)]
    [InlineData(FakeFault.Truncate, false)]
    [InlineData(FakeFault.WrongBytes, true)]
    public async Task Get_HostTellsNoSizeOfOneBlockAndBreaksOffOrIsWrong_IsAnError(FakeFault fault, bool hasDigest)
    {
        await using var mesh = await StartWithoutMeshAsync();
        var sample = mesh.Blob(100);
        mesh.Registry.Fail(FakeFault.Chunked | fault);
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}{(hasDigest ? string.Empty : NoDigest)}");

        Assert.Equal((502, "UNAVAILABLE"), (answer.Status, answer.ErrorCode()));
    }

    // Only the one node has all of it, and only so it is known for sure how much that is.
    [Theory]
    [InlineData(0, 416, "RANGE_INVALID")]
    [InlineData(403, 403, "DENIED")]
    [InlineData(503, 503, "UNAVAILABLE")]
    public async Task Get_RangeBehindTheEndThatTheMeshTells_IsWhatTheUrlSaysOrRefused(int refusal, int status, string code)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2, settings: ["--Peerd:Blobs:ReadAhead=0"]);
        var sample = mesh.Blob(16 * MiB);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        await Wait.UntilAsync(() => mesh.Nodes.Exists(node => node.Directory.TryFind(sample.Digest, out var entry) && entry.Holders.Any(holder => holder.Complete)), "it is announced");
        Assert.Equal(206, (await ReadAsync(mesh.Nodes[1], UrlOf(mesh, sample), "bytes=0-0")).Status);
        Assert.True(mesh.Nodes[1].Cache.TryPeek(sample.Digest, out var content) && !content.IsVerified, "all of it is here: the test has tested nothing");
        if (refusal == 0)
        {
            mesh.Registry.Fail(FakeFault.Drop);
        }
        else
        {
            mesh.Registry.AnswerWith((HttpStatusCode)refusal);
        }

        foreach (var range in new[] { $"bytes={16 * MiB}-", $"bytes={(16 * MiB) + 5}-{(16 * MiB) + 9}" })
        {
            var answer = await ReadAsync(mesh.Nodes[1], UrlOf(mesh, sample), range);

            Assert.Equal((status, code), (answer.Status, answer.ErrorCode()));
            Assert.Equal(status == 416 ? $"bytes */{16 * MiB}" : null, answer.Header("Content-Range"));
        }
    }

    // An answer without a body, and then one with a body, on one connection: neither must be taken for a part of the other.
    [Theory]
    [InlineData(true, 0, 200)]
    [InlineData(false, 0, 200)]
    [InlineData(true, 403, 403)]
    [InlineData(false, 403, 403)]
    [InlineData(true, 404, 404)]
    [InlineData(false, 404, 404)]
    public async Task Head_AndGetAfterIt_AreAnsweredAsTheUrlDoes(bool hasDigest, int refusal, int expected)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(MiB);
        var target = $"/blobs/{UrlOf(mesh, sample)}{(hasDigest ? string.Empty : NoDigest)}";
        if (refusal != 0)
        {
            mesh.Registry.AnswerWith((HttpStatusCode)refusal);
        }

        await using var connection = await ConnectAsync(mesh.Node);
        await connection.WriteRequestAsync("HEAD", target);
        var head = await connection.ReadAnswerAsync(hasBody: false);
        mesh.Registry.AnswerWith(HttpStatusCode.OK, times: 0);
        var get = await connection.SendAsync("GET", target, "Range: bytes=1000-1999");

        Assert.Equal(expected, head.Status);
        Assert.True(expected != 200 || head.Header("Content-Length") == $"{MiB}", head.Header("Content-Length"));
        Assert.Equal(206, get.Status);
        Assert.Equal(sample.Bytes[1000..2000], get.Body);
    }

    private static Task<TestMesh> StartWithoutMeshAsync() =>
        TestMesh.StartAsync(customize: services => services.AddSingleton<IContentReader>(new FakeContentReader()));

    /// <summary>The head of the answer that has what is asked for, of 16 MiB.</summary>
    private static Task SendHeadAsync(HttpContext context)
    {
        var asked = new RequestHeaders(context.Request.Headers).Range?.Ranges.Single();
        var (first, last) = (asked?.From ?? 0, asked?.To ?? (16 * MiB) - 1);
        context.Response.StatusCode = asked is null ? 200 : 206;
        context.Response.ContentLength = last - first + 1;
        context.Response.Headers.ContentRange = asked is null ? default : $"bytes {first}-{last}/{16 * MiB}";
        return context.Response.Body.FlushAsync();
    }
}
