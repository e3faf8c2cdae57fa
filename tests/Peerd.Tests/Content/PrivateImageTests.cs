using System.Net;
using System.Net.Sockets;
using System.Text;
using Peerd.Contracts;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using static Peerd.Tests.Content.PrivateImage;

namespace Peerd.Tests.Content;

/// <summary>Images that not everybody may have, through whole nodes: what their clients are told, and who gets a byte.</summary>
public sealed class PrivateImageTests : IAsyncLifetime
{
    private const string Other = "team/other";

    private static readonly byte[] Manifest = Encoding.UTF8.GetBytes("""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}""");

    private PrivateRegistry _registry = null!;
    private byte[] _bytes = null!;
    private Digest _digest;
    private Digest _manifest;

    public async ValueTask InitializeAsync()
    {
        _registry = await PrivateRegistry.StartAsync();
        _bytes = _registry.AddBlob(App, 300_000, out _digest);
        _manifest = _registry.AddManifest(App, Manifest, "v1");
        _registry.Allow("alice", App);
        _registry.Allow("bob", Other);
    }

    public ValueTask DisposeAsync() => _registry.DisposeAsync();

    [Theory]
    [InlineData("GET", "blobs")]
    [InlineData("HEAD", "blobs")]
    [InlineData("GET", "manifests")]
    [InlineData("HEAD", "manifests")]
    [InlineData("GET", "tag")]
    [InlineData("HEAD", "tag")]
    public async Task Relay_NobodyHasIt_TheClientIsHandedTheChallengeAndItsTokenIsUsed(string method, string what)
    {
        await using var mesh = await StartAsync();
        var target = what switch { "blobs" => $"blobs/{_digest}", "manifests" => $"manifests/{_manifest}", _ => "manifests/v1" };

        var (status, challenge, _) = await SendAsync(mesh.Node, method, App, target, authorization: null);
        var (again, _, body) = await SendAsync(mesh.Node, method, App, target, Token("alice", App));
        var (refused, _, _) = await SendAsync(mesh.Nodes[1], method, Other, what == "tag" ? target : $"blobs/{Digest.OfSha256([1])}", Token("mallory", Other));

        Assert.Equal((HttpStatusCode.Unauthorized, _registry.ChallengeOf(App)), (status, challenge));
        Assert.Equal(HttpStatusCode.OK, again);
        Assert.Equal(method == "HEAD" ? [] : what == "blobs" ? _bytes : Manifest, body);
        Assert.Equal(HttpStatusCode.Unauthorized, refused);
        Assert.Equal(0, _registry.Registry.TokenRequests);
        AssertNothingSecret(mesh);
    }

    [Fact]
    public async Task Relay_ContentIsHere_NodesServeItToWhoeverReachesThem()
    {
        await using var mesh = await StartAsync();
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", Token("alice", App))).Status);
        var asked = _registry.Registry.Requests.Count;

        foreach (var node in mesh.Nodes)
        {
            var (status, _, body) = await SendAsync(node, "GET", App, $"blobs/{_digest}", authorization: null);
            Assert.Equal(HttpStatusCode.OK, status);
            Assert.Equal(_bytes, body);
        }

        Assert.Equal(asked, _registry.Registry.Requests.Count);
    }

    [Fact]
    public async Task Relay_AnotherClientComes_TheTokenOfTheFirstIsNotUsedForIt()
    {
        await using var mesh = await StartAsync(nodes: 1);
        _registry.AddBlob(App, 100, out var second);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", Token("alice", App))).Status);

        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(mesh.Node, "GET", App, $"blobs/{second}", authorization: null)).Status);
        Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(mesh.Node, "GET", App, $"blobs/{second}", Token("mallory", App))).Status);
    }

    [Fact]
    public async Task Relay_TheFirstClientLeavesInTheMiddle_TheOtherGoesOnWithoutItsToken()
    {
        await using var mesh = await StartAsync(nodes: 1);
        _registry.AddBlob(App, 40 << 20, out var large);
        using var held = _registry.Registry.HoldBodies();
        using var first = await BeginAsync(mesh.Node, large, Token("alice", App));
        using var second = await BeginAsync(mesh.Node, large, authorization: null);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));
        await Wait.UntilAsync(() => _registry.AuthorizationsSeen.Count(authorization => authorization is not null) == 3, "as much is asked for as may be at once");
        first.Dispose();
        await Wait.UntilAsync(() => mesh.Node.Logs.GetSnapshot().Any(record => record.Message.Contains("Answered 200", StringComparison.Ordinal)), "the first client's request is over");
        var before = _registry.AuthorizationsSeen.Count(authorization => authorization is not null);
        held.Dispose();

        // What was under way still arrives; it is cut when somebody would have to read on with a token that has gone.
        await Assert.ThrowsAsync<HttpRequestException>(() => second.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));

        Assert.Equal(before, _registry.AuthorizationsSeen.Count(authorization => authorization is not null));
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{large}", Token("alice", App))).Status);
    }

    [Fact]
    public async Task RelayBasic_OffAndOn_ThePasswordIsAskedForOnlyWhenSwitchedOn()
    {
        _registry.IsBasic = true;
        await using (var mesh = await StartAsync(nodes: 1))
        {
            Assert.Equal((HttpStatusCode.NotFound, null), Head(await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", authorization: null)));
            Assert.Equal((HttpStatusCode.NotFound, null), Head(await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", PrivateRegistry.BasicOf("alice"))));
            Assert.All(_registry.AuthorizationsSeen, Assert.Null);
        }

        await using var open = await StartAsync(nodes: 1, "--Peerd:Origin:RelayBasic=true");
        Assert.Equal((HttpStatusCode.Unauthorized, "Basic realm=\"private\""), Head(await SendAsync(open.Node, "GET", App, $"blobs/{_digest}", authorization: null)));
        Assert.Equal(_bytes, (await SendAsync(open.Node, "GET", App, $"blobs/{_digest}", PrivateRegistry.BasicOf("alice"))).Body);
        AssertNothingSecret(open);
    }

    // From another machine, over a network, nobody's password is asked for.
    [Fact]
    public async Task RelayBasic_CallerIsNotOnLoopback_NoPasswordIsAskedForNorTaken()
    {
        var address = (await Dns.GetHostAddressesAsync(Dns.GetHostName(), AddressFamily.InterNetwork, TestContext.Current.CancellationToken)).First(address => !IPAddress.IsLoopback(address));
        _registry.IsBasic = true;
        await using var mesh = await StartAsync(nodes: 1, "--Peerd:Origin:RelayBasic=true", "--Peerd:Facade:Listen=0.0.0.0:0");
        using var client = new HttpClient { BaseAddress = new UriBuilder(mesh.Node.Client.BaseAddress!) { Host = address.ToString() }.Uri };

        foreach (var authorization in new[] { null, PrivateRegistry.BasicOf("alice") })
        {
            using var answer = await client.SendAsync(RequestFor("GET", App, $"blobs/{_digest}", authorization), TestContext.Current.CancellationToken);
            Assert.Equal((HttpStatusCode.NotFound, false), (answer.StatusCode, answer.Headers.Contains("WWW-Authenticate")));
        }

        Assert.All(_registry.AuthorizationsSeen, Assert.Null);
    }

    [Fact]
    public async Task Anonymous_PrivateImage_IsNotFoundAndTheCallersTokenStaysHere()
    {
        await using var mesh = await StartAsync(nodes: 1, "--Peerd:Origin:Auth=anonymous");

        Assert.Equal((HttpStatusCode.NotFound, null), Head(await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", Token("alice", App))));
        Assert.DoesNotContain(Token("alice", App), _registry.AuthorizationsSeen);
    }

    [Theory]
    [InlineData("relay")]
    [InlineData("static")]
    public async Task Upstream_NoRights_NotAByteThroughAnyNodeDigestOrTag(string auth)
    {
        var folder = Directory.CreateTempSubdirectory("peerd-auth-");
        var file = Path.Combine(folder.FullName, "config.json");
        await File.WriteAllTextAsync(
            file, $$$$"""{"auths":{"{{{{TestNode.Registry}}}}":{"username":"alice","password":"{{{{PrivateRegistry.PasswordOf("alice")}}}}"}}}""", TestContext.Current.CancellationToken);
        await using var mesh = await StartAsync(nodes: 2, "--Peerd:Facade:Access=upstream", $"--Peerd:Origin:Auth={auth}", $"--Peerd:Origin:CredentialsFile={file}");
        foreach (var target in new[] { $"blobs/{_digest}", "manifests/v1", $"manifests/{_manifest}" })
        {
            Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, target, Token("alice", App))).Status);
        }

        // Bob has rights, but elsewhere: his token for his own repository does not open it either.
        foreach (var node in mesh.Nodes)
        {
            foreach (var authorization in new[] { null, Token("mallory", App), Token("bob", App), Token("bob", Other), "Bearer S3cret-nonsense", "Basic Ym9iOlMzY3JldA==" })
            {
                foreach (var repository in new[] { App, Other })
                {
                    foreach (var target in new[] { $"blobs/{_digest}", $"blobs/{_manifest}", $"manifests/{_manifest}", "manifests/v1" })
                    {
                        foreach (var method in new[] { "GET", "HEAD" })
                        {
                            var (status, _, body) = await SendAsync(node, method, repository, target, authorization);
                            Assert.True(status is HttpStatusCode.Unauthorized or HttpStatusCode.NotFound, $"{method} {repository} {target} with {authorization}: {status}");
                            Assert.True(body.AsSpan().IndexOf(_bytes.AsSpan(0, 16)) < 0 && body.AsSpan().IndexOf(Manifest) < 0);
                        }
                    }
                }

                using var request = new HttpRequestMessage(HttpMethod.Get, $"/blobs/{_registry.Registry.Url}/v2/{App}/blobs/{_digest}");
                request.Headers.TryAddWithoutValidation("Range", "bytes=0-99");
                request.Headers.TryAddWithoutValidation("Authorization", authorization);
                using var streamed = await node.Client.SendAsync(request, TestContext.Current.CancellationToken);
                Assert.Equal(HttpStatusCode.Unauthorized, streamed.StatusCode);
            }
        }

        Assert.Equal(_bytes, (await SendAsync(mesh.Nodes[1], "GET", App, $"blobs/{_digest}", Token("alice", App))).Body);
        AssertNothingSecret(mesh);
        folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Relay_TokenExpiresInTheMiddle_TheClientIsAskedForANewOne()
    {
        await using var mesh = await StartAsync(nodes: 1);
        _registry.AddBlob(App, 40 << 20, out var large);
        using (_registry.Registry.HoldBodies())
        {
            using var first = await BeginAsync(mesh.Node, large, Token("alice", App));
            Assert.Equal(HttpStatusCode.OK, first.StatusCode);
            _registry.Forbid("alice", App);
        }

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "the first try is over");

        // It comes again for what it lacks, with the same token.
        using var rest = RequestFor("GET", App, $"blobs/{large}", Token("alice", App));
        rest.Headers.TryAddWithoutValidation("Range", $"bytes={(40 << 20) - 100}-");
        using var again = await mesh.Node.Client.SendAsync(rest, TestContext.Current.CancellationToken);
        Assert.Equal((HttpStatusCode.Unauthorized, _registry.ChallengeOf(App)), (again.StatusCode, again.Headers.NonValidated["WWW-Authenticate"].ToString()));

        _registry.Allow("alice", App);
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{large}", Token("alice", App))).Status);
    }

    [Fact]
    public async Task Relay_TwoRepositoriesOfOneContent_EachClientIsHandedItsOwnChallenge()
    {
        await using var mesh = await StartAsync(nodes: 1);
        var release = new TaskCompletionSource();
        var original = _registry.Registry.Intercept!;
        _registry.Registry.Intercept = async context =>
        {
            await release.Task;
            return await original(context);
        };

        var both = Task.WhenAll(
            SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", authorization: null),
            SendAsync(mesh.Node, "GET", Other, $"blobs/{_digest}", authorization: null));
        await Wait.UntilAsync(() => mesh.Node.Logs.GetSnapshot().Count(record => record.Message.Contains("GET Blob ", StringComparison.Ordinal)) == 2, "both have asked");
        release.SetResult();

        Assert.Equal([_registry.ChallengeOf(App), _registry.ChallengeOf(Other)], (await both).Select(answer => answer.Challenge));
    }

    [Fact]
    public async Task Relay_HerdWithoutTokens_NobodyWaitsForItsTurnToBeChallenged()
    {
        await using var mesh = await StartAsync(nodes: 5);
        _registry.Registry.Intercept = Slowly(_registry.Registry.Intercept!);
        var clock = System.Diagnostics.Stopwatch.StartNew();

        var answers = await Task.WhenAll(mesh.Nodes.Select(node => SendAsync(node, "GET", App, $"blobs/{_digest}", authorization: null)));

        Assert.All(answers, answer => Assert.Equal((HttpStatusCode.Unauthorized, _registry.ChallengeOf(App)), Head(answer)));
        TestContext.Current.TestOutputHelper?.WriteLine($"{clock.ElapsedMilliseconds} ms");

        static Func<Microsoft.AspNetCore.Http.HttpContext, Task<bool>> Slowly(Func<Microsoft.AspNetCore.Http.HttpContext, Task<bool>> intercept) => async context =>
        {
            await Task.Delay(200);
            return await intercept(context);
        };
    }

    // What the client brings opens what is here; the node itself may read nothing there.
    [Fact]
    public async Task Upstream_NodeReadsAnonymously_EverybodyIsAskedAndNobodyGetsAByte()
    {
        await using var mesh = await StartAsync(nodes: 1, "--Peerd:Facade:Access=upstream", "--Peerd:Origin:Auth=anonymous");
        foreach (var target in new[] { $"blobs/{_digest}", $"manifests/{_manifest}", "manifests/v1" })
        {
            Assert.Equal((HttpStatusCode.Unauthorized, _registry.ChallengeOf(App)), Head(await SendAsync(mesh.Node, "GET", App, target, authorization: null)));
            Assert.Equal(HttpStatusCode.Unauthorized, (await SendAsync(mesh.Node, "GET", App, target, Token("mallory", App))).Status);
            Assert.Equal(HttpStatusCode.NotFound, (await SendAsync(mesh.Node, "GET", App, target, Token("alice", App))).Status);
        }

        AssertNothingSecret(mesh);
    }

    [Fact]
    public async Task Upstream_DigestWrittenIntoAUrlThatMayBeRead_OpensNothing()
    {
        await using var mesh = await StartAsync(nodes: 1, "--Peerd:Facade:Access=upstream");
        Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{_digest}", Token("alice", App))).Status);
        var own = _registry.AddBlob(Other, _bytes.Length, out var mine);

        foreach (var target in new[]
        {
            $"/v2/{Other}/blobs/{mine}?d={_digest}",
            $"/v2/{Other}/blobs/{mine}?x=/docker/registry/v2/blobs/sha256/{_digest.Hex[..2]}/{_digest.Hex}/data",
            $"/v2/{Other}/manifests/v1?d={_digest}",
        })
        {
            using var request = new HttpRequestMessage(HttpMethod.Get, $"/blobs/{_registry.Registry.Url}{target}");
            request.Headers.TryAddWithoutValidation("Range", "bytes=0-99");
            request.Headers.TryAddWithoutValidation("Authorization", Token("bob", Other));
            using var answer = await mesh.Node.Client.SendAsync(request, TestContext.Current.CancellationToken);
            var body = await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken);
            Assert.True(answer.StatusCode == HttpStatusCode.NotFound || body.AsSpan().SequenceEqual(own.AsSpan(0, 100)), $"{target}: {answer.StatusCode}");
        }
    }

    [Fact]
    public async Task Upstream_OriginDown_AsConfigured()
    {
        foreach (var (whenDown, expected) in new[] { ("deny", HttpStatusCode.BadGateway), ("known", HttpStatusCode.OK) })
        {
            var registry = await PrivateRegistry.StartAsync();
            registry.Allow("alice", App);
            registry.AddBlob(App, 1000, out var digest);
            await using var mesh = await TestMesh.StartAsync(
                registry: registry.Registry, settings: ["--Peerd:Facade:Access=upstream", "--Peerd:Facade:AccessLifetime=1s", $"--Peerd:Facade:AccessWhenDown={whenDown}", "--Peerd:Origin:Retries=0"]);
            Assert.Equal(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{digest}", Token("alice", App))).Status);

            await registry.DisposeAsync();
            await Wait.UntilAsync(async () => (await SendAsync(mesh.Node, "HEAD", App, $"blobs/{digest}", Token("alice", App))).Status == expected
                && mesh.Node.Logs.GetSnapshot().Any(record => record.Message.Contains("cannot be reached", StringComparison.Ordinal)), $"answered {expected}");

            Assert.Equal(expected, (await SendAsync(mesh.Node, "GET", App, $"blobs/{digest}", Token("alice", App))).Status);
            Assert.NotEqual(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{digest}", Token("mallory", App))).Status);
            Assert.NotEqual(HttpStatusCode.OK, (await SendAsync(mesh.Node, "GET", App, $"blobs/{digest}", authorization: null)).Status);
        }
    }

    private static (HttpStatusCode, string?) Head((HttpStatusCode Status, string? Challenge, byte[] Body) answer) => (answer.Status, answer.Challenge);

    private static void AssertNothingSecret(TestMesh mesh) =>
        OriginSetup.AssertNothingSecret(mesh.Nodes.SelectMany(node => node.Logs.GetSnapshot()).Select(record => record.ToString()));

    private Task<TestMesh> StartAsync(int nodes = 2, params string[] settings) => TestMesh.StartAsync(nodes, registry: _registry.Registry, settings: settings);
}
