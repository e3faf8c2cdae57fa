using System.Net;
using Microsoft.AspNetCore.Http.Headers;
using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts.V1;
using Peerd.Node.Content;
using Peerd.Tests.Facade;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>Reads of all of <c>/blobs/&lt;absolute URL&gt;</c> when the mesh fails on the way: its URL has the rest, or the answer is cut.</summary>
public sealed class BlobWholeTests
{
    private const int MiB = 1024 * 1024;
    private const int Size = (8 * MiB) + 5;
    private const int Half = 4 * MiB;

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whole_AllOthersDieOnTheWay_UrlHasTheRest(bool isRefusedToTheMesh)
    {
        await using var mesh = await StartAsync();
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        await using var connection = await DieInTheMiddleAsync(mesh, sample, () => RefuseParts(mesh, isRefusedToTheMesh));

        var answer = await connection.ReadAnswerAsync();

        Assert.Equal(200, answer.Status);
        Assert.True(sample.Bytes.AsSpan().SequenceEqual(answer.Body));
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), 1, Size - Half + MiB);
    }

    [Theory]
    [InlineData(HttpStatusCode.Forbidden)]
    [InlineData(HttpStatusCode.ServiceUnavailable)]
    public async Task Whole_UrlFailsToo_IsCut(HttpStatusCode status)
    {
        await using var mesh = await StartAsync();
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        await using var connection = await DieInTheMiddleAsync(mesh, sample, () => mesh.Registry.AnswerWith(status));

        AssertCut(sample, await ReadToCutAsync(connection));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Whole_UrlHasOtherBytes_LastOneIsNotSent(bool isRefusedToTheMesh)
    {
        await using var mesh = await StartAsync();
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        await using var connection = await DieInTheMiddleAsync(
            mesh,
            sample,
            () =>
            {
                mesh.Registry.Fail(FakeFault.WrongBytes);
                RefuseParts(mesh, isRefusedToTheMesh);
            });

        AssertCut(sample, await ReadToCutAsync(connection));
        Assert.False(mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified);
    }

    [Fact]
    public async Task Whole_UrlHasAnotherSize_IsCut()
    {
        await using var mesh = await StartAsync();
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        var longer = TestMesh.NewSample(Size + 1);
        await using var connection = await DieInTheMiddleAsync(mesh, sample, () => mesh.Registry.AddBlob(longer.Bytes, sample.Digest));

        AssertCut(sample, await ReadToCutAsync(connection));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Range_AllOthersDieOnTheWay_UrlHasTheRest(bool isRefusedToTheMesh)
    {
        await using var mesh = await StartAsync();
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        await using var connection = await DieInTheMiddleAsync(mesh, sample, () => RefuseParts(mesh, isRefusedToTheMesh), $"Range: bytes=0-{Size - 2}");

        var answer = await connection.ReadAnswerAsync();

        Assert.Equal((206, $"bytes 0-{Size - 2}/{Size}"), (answer.Status, answer.Header("Content-Range")));
        Assert.True(sample.Bytes.AsSpan(0, Size - 1).SequenceEqual(answer.Body));
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), 1, Size - Half + MiB);
    }

    // Nothing of it was sent: the answer is that of the URL, and not that of the mesh.
    [Fact]
    public async Task Whole_MeshTellsTheSizeAndBringsNothing_IsReadFromTheUrl()
    {
        await using var mesh = await StartAsync("--Peerd:Blobs:AnswerTimeout=4s");
        var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
        TellSize(mesh.Peer, sample);
        mesh.Peer.Answer = (_, _, call) => mesh.Peer.NeverAsync(call);
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}");

        Assert.Equal(200, answer.Status);
        Assert.True(sample.Bytes.AsSpan().SequenceEqual(answer.Body));
        Assert.Contains(mesh.Registry.Requests, request => request is { Method: "GET", Range: null });
    }

    [Theory]
    [InlineData(0)]
    [InlineData(Half)]
    public async Task Whole_NothingComesAnyMore_UrlHasTheRest(int from)
    {
        // The first connection to the registry has to fit into what is left of the time for the head.
        var contents = new FakeContentReader();
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(from == 0 ? 4 : 20), customize: services => services.AddSingleton<IContentReader>(contents));
        var sample = mesh.Blob(Size);
        var never = new TaskCompletionSource();
        contents.Add(new FakeContent(sample.Bytes, null) { GateAt = from, CopyGate = never.Task });
        await using var connection = await ConnectAsync(mesh.Node);

        var answer = await connection.SendAsync("GET", $"/blobs/{UrlOf(mesh, sample)}");

        Assert.Equal(200, answer.Status);
        Assert.True(sample.Bytes.AsSpan().SequenceEqual(answer.Body));
        Assert.Equal(Size - from, mesh.Registry.BytesOf(sample.Digest));
    }

    private static Task<TestMesh> StartAsync(params string[] settings) =>
        TestMesh.StartAsync(peers: 1, settings: settings);

    /// <summary>Asks for all of it; the only other node, which owns it, serves the first half, and is gone then.</summary>
    /// <param name="mesh">With the fake peer.</param>
    /// <param name="sample">The content.</param>
    /// <param name="before">What else happens at that moment.</param>
    /// <param name="headers">Of the request, a range for example.</param>
    private static async Task<RawConnection> DieInTheMiddleAsync(TestMesh mesh, SampleContent sample, Action before, params string[] headers)
    {
        var (peer, asked) = (mesh.Peer, new TaskCompletionSource());
        TellSize(peer, sample);
        peer.Answer = async (range, answers, call) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample).TakeWhile(answer => answer.Frame is null || answer.Frame.Offset < Half))
            {
                await answers.WriteAsync(answer);
            }

            if (range.Offset + range.Length > Half)
            {
                asked.TrySetResult();
                await peer.NeverAsync(call);
            }
        };
        var connection = await ConnectAsync(mesh.Node);
        await connection.WriteRequestAsync("GET", $"/blobs/{UrlOf(mesh, sample)}", headers);
        await asked.Task.WaitAsync(Wait.Longest);
        await Wait.UntilAsync(
            () => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && Enumerable.Range(0, content.Layout.FrameAt(Half)).All(content.HasFrame), "the first half is here");
        before();
        await peer.StopListeningAsync();
        return connection;
    }

    private static void TellSize(FakePeer peer, SampleContent sample) =>
        peer.AnswerLookup = async (_, answers, call) =>
        {
            await answers.WriteAsync(
                new LookupResponse
                {
                    State = LookupState.Available,
                    Size = sample.Bytes.Length,
                    Holders = { new Holder { Node = peer.Name, Pieces = { new PieceRun { First = 0, Count = (uint)sample.Layout.PieceCount } } } },
                },
                call.CancellationToken);
            await peer.NeverAsync(call);
        };

    /// <summary>The registry refuses what is read segment by segment, for all; who reads on for the client alone asks for all of the rest.</summary>
    private static void RefuseParts(TestMesh mesh, bool isOn) =>
        mesh.Registry.Intercept = context =>
        {
            var isPart = isOn && new RequestHeaders(context.Request.Headers).Range?.Ranges.Single() is { From: { } first, To: { } last } && last - first < Half / 2;
            context.Response.StatusCode = isPart ? 503 : 200;
            return Task.FromResult(isPart);
        };

    private static async Task<byte[]> ReadToCutAsync(RawConnection connection)
    {
        var head = await connection.ReadHeadAsync();
        Assert.Equal((200, $"{Size}"), (head.Status, head.Header("Content-Length")));
        return (await connection.ReadToEndAsync()).Bytes;
    }

    private static void AssertCut(SampleContent sample, byte[] bytes)
    {
        Assert.InRange(bytes.Length, Half, Size - 1);
        Assert.Equal(bytes.Length, sample.Bytes.AsSpan().CommonPrefixLength(bytes));
    }
}
