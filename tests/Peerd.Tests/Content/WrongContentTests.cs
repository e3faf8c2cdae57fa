using System.Net;
using Microsoft.AspNetCore.Http.Headers;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>Bytes whose checksums are right while the whole is not what the digest says: no client may take it for the content.</summary>
public sealed class WrongContentTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Pull_PeerServesAnotherContent_ClientNeverGetsItWhole()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var sample = mesh.BlobOwnedBy(MiB + 5, mesh.Node.Name);
        var other = TestMesh.NewSample(MiB + 5);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, other))
            {
                await answers.WriteAsync(answer);
            }
        };
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);

        var first = await mesh.Node.GetAsync(sample.Digest);
        var second = await mesh.Node.GetAsync(sample.Digest);

        AssertNotTaken(first, sample);
        second.ShouldBe(sample.Bytes);
        Assert.True(mesh.Node.IntegrityFailures > 0);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Pull_OriginLiesInTheMiddle_ClientNeverGetsItWhole(bool always)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((3 * MiB) + 5);
        LieAbout(mesh.Registry, sample, wrongByte: MiB + 4711, times: always ? int.MaxValue : 1);

        var first = await mesh.Node.GetAsync(sample.Digest);

        AssertNotTaken(first, sample);
        Assert.True(mesh.Node.IntegrityFailures > 0);
        var second = await mesh.Node.GetAsync(sample.Digest);
        if (always)
        {
            AssertNotTaken(second, sample);
            Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified);
        }
        else
        {
            second.ShouldBe(sample.Bytes);
        }
    }

    [Fact]
    public async Task Pull_OriginLiesInTheLastByte_ClientGetsAllButThatAtMostAndAnEnd()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((3 * MiB) + 5);
        mesh.Registry.Fail(FakeFault.WrongBytes);

        var answer = await mesh.Node.GetAsync(sample.Digest);

        Assert.Equal(HttpStatusCode.OK, answer.Status);
        Assert.True(answer.IsCutByFin, $"complete: {answer.IsComplete}, {answer.Failure}\n{answer.Log}");
        Assert.InRange(answer.Bytes.Length, 1, sample.Bytes.Length - 1);
        Assert.Equal(answer.Bytes.Length, sample.Bytes.AsSpan().CommonPrefixLength(answer.Bytes));
        Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified);
    }

    [Theory]
    [InlineData("bytes=-1")]
    [InlineData("bytes=-70000")]
    [InlineData("bytes=3145000-")]
    public async Task Range_WithTheLastByteOfAWrongContent_DoesNotGetThatByte(string range)
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((3 * MiB) + 5);
        LieAbout(mesh.Registry, sample, wrongByte: 5, times: int.MaxValue);

        var answer = await mesh.Node.GetAsync(sample.Digest, range);

        Assert.False(answer.IsComplete && answer.Status == HttpStatusCode.PartialContent, "the range was delivered as if the content were right");
        if (answer.Status == HttpStatusCode.PartialContent)
        {
            Assert.True(answer.IsCutByFin, $"not ended with FIN: {answer.Failure}");
            Assert.InRange(answer.Bytes.Length, 0, answer.Headers.ContentLength!.Value - 1);
        }
    }

    private static void AssertNotTaken(FacadeAnswer answer, SampleContent sample)
    {
        if (answer.Status != HttpStatusCode.OK)
        {
            Assert.Equal(HttpStatusCode.BadGateway, answer.Status);
            return;
        }

        // When nothing wrong had been sent yet, the right content is as good as an end.
        Assert.False(answer.IsComplete && !answer.Bytes.AsSpan().SequenceEqual(sample.Bytes), "a whole body with wrong bytes");
        Assert.True(answer.IsComplete || answer.IsCutByFin, $"not ended with FIN: {answer.Failure}\n{answer.Log}");
        Assert.True(answer.IsComplete || answer.Bytes.Length < sample.Bytes.Length);
    }

    /// <summary>Ranges that have this byte get a wrong one, so many times.</summary>
    private static void LieAbout(FakeRegistry registry, SampleContent sample, int wrongByte, int times)
    {
        var left = times;
        registry.Intercept = async context =>
        {
            if (!context.Request.Path.Value!.EndsWith(sample.Digest.ToString(), StringComparison.Ordinal)
                || new RequestHeaders(context.Request.Headers).Range?.Ranges.SingleOrDefault() is not { From: { } first, To: { } to }
                || first > wrongByte || to < wrongByte || Interlocked.Decrement(ref left) < 0)
            {
                return false;
            }

            var last = Math.Min(to, sample.Bytes.Length - 1);
            var body = sample.Bytes[(int)first..(int)(last + 1)];
            body[wrongByte - first] ^= 1;
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes {first}-{last}/{sample.Bytes.Length}";
            context.Response.ContentLength = body.Length;
            await context.Response.Body.WriteAsync(body);
            return true;
        };
    }
}
