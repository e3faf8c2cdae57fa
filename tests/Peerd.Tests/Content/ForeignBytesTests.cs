using System.Net;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>Reads below <c>/blobs</c> of what another program on the node has, and does not give.</summary>
public sealed class ForeignBytesTests
{
    private const int KiB = 1024;
    private const int MiB = 1024 * KiB;

    [Fact]
    public async Task Read_ProgramHasIt_NobodyElseIsAsked()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Attach(mesh, readable: long.MaxValue);

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);

        Assert.Empty(mesh.Registry.Requests);
    }

    [Fact]
    public async Task Read_ProgramDoesNotAnswer_UrlDoes()
    {
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(5));
        var sample = Attach(mesh, readable: long.MaxValue, answers: false);

        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
    }

    // overlaybd takes a part for the whole, and asks again when there is no answer.
    [Fact]
    public async Task Read_PartIsGoneAgain_UrlHasIt()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Attach(mesh, readable: 200 * KiB);

        var answer = await ReadAsync(mesh.Node, UrlOf(mesh, sample), $"bytes=0-{MiB - 1}");

        Assert.Equal(206, answer.Status);
        Assert.True(sample.Bytes.AsSpan(0, MiB).SequenceEqual(answer.Body));
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), 1, MiB);
    }

    [Fact]
    public async Task Read_PartIsGoneAgainAndUrlRefuses_NothingIsSent()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = Attach(mesh, readable: 200 * KiB);
        mesh.Registry.AnswerWith(HttpStatusCode.Forbidden);
        await using var connection = await ConnectAsync(mesh.Node);

        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", $"Range: bytes=0-{MiB - 1}");

        Assert.Empty((await connection.ReadToEndAsync()).Bytes);
        Assert.Equal(206, (await ReadAsync(mesh.Node, UrlOf(mesh, sample), "bytes=0-99")).Status);
    }

    [Fact]
    public async Task Read_PartIsGoneAgainAndUrlIsSilent_NothingIsSent()
    {
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(5));
        var sample = Attach(mesh, readable: 200 * KiB);
        mesh.Registry.Fail(Origin.FakeFault.StallBody);
        await using var connection = await ConnectAsync(mesh.Node);

        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", $"Range: bytes=0-{MiB - 1}");

        Assert.Empty((await connection.ReadToEndAsync()).Bytes);
    }

    private static SampleContent Attach(TestMesh mesh, long readable, bool answers = true)
    {
        var sample = mesh.Blob(2 * MiB);
        Assert.True(mesh.Node.Cache.TryAttach(sample.Digest, new ForeignBytes(sample, readable, answers), mediaType: null));
        return sample;
    }
}
