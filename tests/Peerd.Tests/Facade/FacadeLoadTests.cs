using System.Net;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Options;
using Peerd.Node.Facade;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Facade;

/// <summary>A node that has as much to do as it may.</summary>
public sealed class FacadeLoadTests
{
    private const int Size = 300_000;

    // More than the buffers of a connection take.
    private const int LargeSize = 48 << 20;

    [Fact]
    public async Task Request_TooManyOthersAreAnswered_V2IsUnavailableAndBlobsComeFromTheUrl()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var (large, sample) = (mesh.Blob(LargeSize), mesh.Blob(Size));
        using var overloaded = new MetricCollector<long>(mesh.Node.Get<System.Diagnostics.Metrics.IMeterFactory>(), "Peerd", "peerd.facade.overloaded");
        using (var held = await mesh.Node.SendAsync(large.Digest))
        {
            Assert.Equal(HttpStatusCode.OK, held.StatusCode);

            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await mesh.Node.GetAsync(sample.Digest)).Status);
            Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out _));
            await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
            var blob = await connection.SendAsync("GET", $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}", "Range: bytes=1000-1999");
            Assert.Equal(206, blob.Status);
            Assert.True(sample.Bytes.AsSpan(1000, 1000).SequenceEqual(blob.Body));
            Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out _));
            Assert.Equal(2, overloaded.GetMeasurementSnapshot().EvaluateAsCounter());
        }

        await Wait.UntilAsync(async () => (await mesh.Node.GetAsync(sample.Digest)).Status == HttpStatusCode.OK, "requests are answered again");
    }

    [Fact]
    public async Task Request_TooManyOthersAreAnswered_WhatIsHereIsServedWithoutTheUrl()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var (large, sample) = (mesh.Blob(LargeSize), mesh.Blob(Size));
        Assert.Equal(HttpStatusCode.OK, (await mesh.Node.GetAsync(sample.Digest)).Status);
        await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);
        using var held = await mesh.Node.SendAsync(large.Digest);
        Assert.Equal(HttpStatusCode.OK, held.StatusCode);
        mesh.Registry.AnswerWith(HttpStatusCode.Forbidden);

        var blob = await connection.SendAsync("GET", $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?sig=S3cretexpired", "Range: bytes=1000-1999");
        var size = await connection.SendAsync("HEAD", $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?sig=S3cretexpired");

        Assert.Equal(206, blob.Status);
        Assert.True(sample.Bytes.AsSpan(1000, 1000).SequenceEqual(blob.Body));
        Assert.Equal((200, $"{Size}"), (size.Status, size.Header("Content-Length")));
    }

    [Fact]
    public async Task Connection_UsedOftenEnough_IsClosedWithTheAnswer()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:RequestsPerConnection=2"]);
        await using var connection = await RawConnection.ConnectAsync(mesh.Node.Client.BaseAddress!.Port);

        Assert.Null((await connection.SendAsync("GET", "/v2/")).Header("Connection"));
        Assert.Equal("close", (await connection.SendAsync("GET", "/v2/")).Header("Connection"));
    }

    [Theory]
    [InlineData("0", 1L << 40, true)]
    [InlineData("64MiB", 16L << 20, true)]
    [InlineData("64MiB", 128L << 20, false)]
    public void TryEnter_MemoryIsHeld_HasRoomBelowTheLimitOnly(string limit, long held, bool hasRoom)
    {
        var options = Options.Create(new LimitOptions { Memory = limit });
        var load = new FacadeLoad(options, new HeldMemory(options, () => held - Peerd.Contracts.PooledBuffer.HeldBytes));

        Assert.Equal(hasRoom, load.TryEnter());
    }

    [Fact]
    public void TryEnter_RefusedBefore_TakesNoPlaceFromOthers()
    {
        var options = Options.Create(new LimitOptions { Requests = "1" });
        var load = new FacadeLoad(options, new HeldMemory(options));
        Assert.True(load.TryEnter());
        Assert.False(load.TryEnter());
        load.Leave();

        Assert.True(load.TryEnter());
    }

    [Fact]
    public void TryEnter_NoLimit_AlwaysHasRoom()
    {
        var options = Options.Create(new LimitOptions { Requests = "0" });
        var load = new FacadeLoad(options, new HeldMemory(options));

        Assert.All(Enumerable.Range(0, 5000), _ => Assert.True(load.TryEnter()));
    }
}
