using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using static Peerd.Tests.Content.PrivateImage;

namespace Peerd.Tests.Content;

/// <summary>Clients with different rights read one content at once: no token is used for what its own client does not want.</summary>
public sealed class SharedDownloadTokenTests : IAsyncLifetime
{
    private const int MiB = 1 << 20;
    private const int MiddleStart = 20 * MiB;
    private const string Begin = "bytes=0-1048575";
    private const string Middle = "bytes=20971520-22020095";

    private static readonly string Alice = Token("alice", App);
    private static readonly string Mallory = Token("mallory", App);

    private PrivateRegistry _registry = null!;
    private byte[] _bytes = null!;
    private Digest _digest;

    public async ValueTask InitializeAsync()
    {
        _registry = await PrivateRegistry.StartAsync();
        _bytes = _registry.AddBlob(App, 40 * MiB, out _digest);
        _registry.Allow("alice", App);
    }

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Fact]
    public async Task ClientsReadDifferentPartsAtOnce_EachPartIsReadWithTheTokenOfWhoWantsIt()
    {
        await using var mesh = await StartAsync(nodes: 1);
        _registry.Allow("carol", App);
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);
        var second = BeginAsync(mesh.Node, _digest, Token("carol", App), Middle);
        await Wait.UntilAsync(() => RequestsOver(MiddleStart, 40 * MiB).Count > 0, "the second part is asked for");
        held.Dispose();

        Assert.Equal(_bytes[..(MiB)], await first.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
        Assert.Equal(_bytes[MiddleStart..(MiddleStart + MiB)], await (await second).Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
        Assert.All(RequestsOver(MiddleStart, 40 * MiB), request => Assert.Equal(Token("carol", App), request.Authorization));
        Assert.All(RequestsOver(0, MiddleStart), request => Assert.Equal(Alice, request.Authorization));
        (await second).Dispose();
    }

    [Theory]
    [InlineData("mallory")]
    [InlineData(null)]
    public async Task PartOfARefusedClient_IsNotReadWithTheTokenOfAnother(string? user)
    {
        await using var mesh = await StartAsync();
        var own = user is null ? null : Token(user, App);
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);

        using var refused = await BeginAsync(mesh.Node, _digest, own, Middle);

        Assert.Equal((HttpStatusCode.Unauthorized, _registry.ChallengeOf(App)), (refused.StatusCode, refused.Headers.NonValidated["WWW-Authenticate"].ToString()));
        Assert.All(RequestsOver(MiddleStart, 40 * MiB), request => Assert.Equal(own, request.Authorization));
        Assert.NotEmpty(RequestsOver(MiddleStart, 40 * MiB));
        held.Dispose();
        Assert.Equal(_bytes[..MiB], await BodyOf(first));
    }

    [Fact]
    public async Task RefusedClient_GetsRightsAndComesAgain_IsServedWithItsOwnToken()
    {
        await using var mesh = await StartAsync();
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);
        using var refused = await BeginAsync(mesh.Node, _digest, Mallory, Middle);
        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        _registry.Allow("mallory", App);

        var again = BeginAsync(mesh.Node, _digest, Mallory, Middle);
        await Wait.UntilAsync(() => RequestsOver(MiddleStart, 40 * MiB).Exists(request => request.Status == 206), "the part is sent");
        held.Dispose();

        using var answer = await again;
        Assert.Equal(_bytes[MiddleStart..(MiddleStart + MiB)], await BodyOf(answer));
        Assert.All(RequestsOver(MiddleStart, 40 * MiB), request => Assert.Equal(Mallory, request.Authorization));
    }

    // It has what comes for the other, no more.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task RefusedClientWantsMoreThanAnother_IsCutWhereTheOtherEnds(bool leaves)
    {
        await using var mesh = await StartAsync();
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);
        using var second = await BeginAsync(mesh.Node, _digest, Mallory);
        Assert.Equal((HttpStatusCode.PartialContent, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));
        await Wait.UntilAsync(() => _registry.AuthorizationsSeen.Contains(Mallory), "the registry was asked for the rest");
        if (leaves)
        {
            first.Dispose();
        }

        held.Dispose();

        await Assert.ThrowsAsync<HttpRequestException>(() => BodyOf(second));
        Assert.All(RequestsOver(2 * MiB, 40 * MiB), request => Assert.Equal(Mallory, request.Authorization));
    }

    [Fact]
    public async Task RefusedClient_AnotherWantsTheWhole_BothGetIt()
    {
        await using var mesh = await StartAsync();
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice);
        using var second = await BeginAsync(mesh.Node, _digest, Mallory);
        held.Dispose();

        foreach (var body in await Task.WhenAll(BodyOf(first), BodyOf(second)))
        {
            Assert.Equal(_bytes, body);
        }
    }

    // The one who was refused goes on when somebody comes who may read what it waits for.
    [Fact]
    public async Task RefusedClientWaitsForAnother_AThirdWantsTheRest_AllGetIt()
    {
        await using var mesh = await StartAsync();
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);
        using var second = await BeginAsync(mesh.Node, _digest, Mallory);
        await Wait.UntilAsync(() => _registry.AuthorizationsSeen.Contains(Mallory), "the registry was asked for the rest");
        using var third = await BeginAsync(mesh.Node, _digest, Alice);
        held.Dispose();

        Assert.Equal(_bytes, await BodyOf(third));
        Assert.Equal(_bytes, await BodyOf(second));
        Assert.Equal(_bytes[..MiB], await BodyOf(first));
    }

    [Fact]
    public async Task PartOfARefusedClient_APeerHasIt_ComesFromThePeer()
    {
        await using var mesh = await StartAsync(nodes: 2);
        using (var there = await BeginAsync(mesh.Nodes[1], _digest, Alice, Middle))
        {
            Assert.Equal(_bytes[MiddleStart..(MiddleStart + MiB)], await BodyOf(there));
        }

        using var held = _registry.Registry.HoldBodies();
        var first = BeginAsync(mesh.Node, _digest, Alice, "bytes=2097152-3145727");
        await Wait.UntilAsync(() => RequestsOver(2 * MiB, 3 * MiB).Count > 0, "the other reads");

        using var second = await BeginAsync(mesh.Node, _digest, Mallory, Middle);

        Assert.Equal(HttpStatusCode.PartialContent, second.StatusCode);
        Assert.Equal(_bytes[MiddleStart..(MiddleStart + MiB)], await BodyOf(second));
        held.Dispose();
        (await first).Dispose();
    }

    // Nor is what it would read next, guessed from what it was refused.
    [Fact]
    public async Task StreamOfARefusedClient_IsNotReadWithTheTokenOfAnother()
    {
        await using var mesh = await StartAsync();
        using var first = await StreamAsync(mesh.Node, Alice, Begin);
        Assert.Equal(_bytes[..MiB], await BodyOf(first));

        using var refused = await StreamAsync(mesh.Node, Mallory, Middle);
        using var elsewhere = await StreamAsync(mesh.Node, Alice, $"bytes={5 * MiB}-{(6 * MiB) - 1}");

        Assert.Equal(HttpStatusCode.Unauthorized, refused.StatusCode);
        Assert.Equal(_bytes[(5 * MiB)..(6 * MiB)], await BodyOf(elsewhere));
        using var own = await StreamAsync(mesh.Node, Alice, $"bytes={MiddleStart - (4 * MiB)}-{MiddleStart - (4 * MiB) + 1023}");
        Assert.Equal(HttpStatusCode.PartialContent, own.StatusCode);
        Assert.DoesNotContain(RequestsOver(MiddleStart, 40 * MiB), request => request.Authorization == Alice);
    }

    [Fact]
    public async Task Stream_RefusedOnceAndReadingOn_IsFetchedForAgain()
    {
        await using var mesh = await StartAsync(settings: ["--Peerd:Blobs:ReadAhead=0", "--Peerd:Origin:Retries=0"]);
        _registry.Allow("carol", App);
        using var first = await StreamAsync(mesh.Node, Alice, Begin);
        Assert.Equal(_bytes[..MiB], await BodyOf(first));
        _registry.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable, times: 1);

        for (var start = MiddleStart; start < MiddleStart + 2048; start += 1024)
        {
            using var read = await StreamAsync(mesh.Node, Token("carol", App), $"bytes={start}-{start + 1023}");
            Assert.Equal(_bytes[start..(start + 1024)], await BodyOf(read));
        }

        Assert.True(mesh.Node.Cache.TryPeek(_digest, out var content));
        await Wait.UntilAsync(() => content.HasPiece(content.Layout.PieceAt(MiddleStart)), "the piece is here");
        Assert.All(RequestsOver(MiddleStart, 40 * MiB), request => Assert.Equal(Token("carol", App), request.Authorization));
    }

    // It wants one of all its clients, and nobody is refused for it.
    [Fact]
    public async Task RegistryWantsAPause_ClientsOfDifferentParts_AllWaitAndGetThem()
    {
        await using var mesh = await StartAsync();
        _registry.Allow("carol", App);
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, _digest, Alice, Begin);
        _registry.Registry.AnswerWith(HttpStatusCode.TooManyRequests, times: 1, retryAfter: "1");
        var second = BeginAsync(mesh.Node, _digest, Token("carol", App), Middle);
        await Wait.UntilAsync(() => RequestsOver(MiddleStart, 40 * MiB).Exists(request => request.Status == 429), "the registry wants a pause");
        held.Dispose();

        using var answer = await second;
        Assert.Equal(_bytes[MiddleStart..(MiddleStart + MiB)], await BodyOf(answer));
        Assert.Equal(_bytes[..MiB], await BodyOf(first));
    }

    private static Task<byte[]> BodyOf(HttpResponseMessage answer) => answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);

    private Task<HttpResponseMessage> StreamAsync(TestNode node, string authorization, string range)
    {
        var request = new HttpRequestMessage(HttpMethod.Get, $"/blobs/{_registry.Registry.Url}/v2/{App}/blobs/{_digest}");
        request.Headers.TryAddWithoutValidation("Authorization", authorization);
        request.Headers.Range = RangeHeaderValue.Parse(range);
        return node.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, TestContext.Current.CancellationToken);
    }

    /// <summary>Requests for bytes of which some lie there.</summary>
    private List<FakeRequest> RequestsOver(long start, long end) =>
        [.. _registry.Registry.Requests.Where(request => request.Range is { } range && RangeHeaderValue.Parse(range).Ranges.Single() is var asked && asked.From < end && asked.To >= start)];

    private Task<TestMesh> StartAsync(int nodes = 1, params string[] settings) => TestMesh.StartAsync(nodes, registry: _registry.Registry, settings: settings);
}
