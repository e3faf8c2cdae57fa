using System.CommandLine;
using System.Net;
using System.Text.Json;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Cli;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli.Fetch;

public sealed class FetchCommandTests : IAsyncLifetime
{
    private const string Reference = "reg.test/team/app:v1";

    private static readonly GeneratedImage Image = GeneratedImage.Create(new GeneratedImageOptions(500_000, 3));

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-fetch-test-");
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();
    private DemoRegistry _registry = null!;
    private StandInNode _node = null!;

    private string Output => Path.Combine(_folder.FullName, "out");

    public async ValueTask InitializeAsync()
    {
        _registry = await DemoRegistry.StartAsync(Image, "team/app", "v1", CancellationToken.None);
        _node = await StandInNode.StartAsync("node", _registry.Endpoint);
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        await _registry.DisposeAsync();
        _folder.Delete(recursive: true);
        await _output.DisposeAsync();
        await _errors.DisposeAsync();
    }

    [Theory]
    [InlineData("reg.test/team/app:v1")]
    [InlineData("reg.test/team/app@{index}")]
    [InlineData("reg.test/team/app:other@{manifest}")]
    public async Task Fetch_Image_WritesACompleteLayout(string reference)
    {
        reference = reference.Replace("{index}", Image.Index.Digest.ToString(), StringComparison.Ordinal).Replace("{manifest}", Image.Manifest.Digest.ToString(), StringComparison.Ordinal);
        var exitCode = await RunAsync(reference, "--output", Output, "--platform", "linux/amd64");

        Assert.Equal((0, ""), (exitCode, _errors.ToString()));
        Assert.Equal("""{"imageLayoutVersion":"1.0.0"}""", await File.ReadAllTextAsync(Path.Combine(Output, "oci-layout")));
        using var index = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(Output, "index.json")));
        var entry = Assert.Single(index.RootElement.GetProperty("manifests").EnumerateArray());
        Assert.Equal((Image.Manifest.Digest.ToString(), GeneratedImage.ManifestMediaType, Image.Manifest.Size), (entry.GetProperty("digest").GetString(), entry.GetProperty("mediaType").GetString(), entry.GetProperty("size").GetInt64()));
        Assert.All(Image.Contents.Skip(1), content => Assert.Equal(content.Digest, Digest.OfSha256(File.ReadAllBytes(Path.Combine(Output, "blobs", "sha256", content.Digest.Hex)))));
        Assert.Equal([Output], Directory.GetFileSystemEntries(_folder.FullName));
        Assert.Contains("Where it came from is unknown", _output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"token\":\"S3cret-right\"}", 0)]
    [InlineData("{\"access_token\":\"S3cret-right\"}", 0)]
    [InlineData("{\"token\":\"S3cret-wrong\"}", 1)]
    [InlineData("nonsense", 1)]
    public async Task Fetch_NodeHandsOnAChallenge_BringsTheTokenThatEverybodyGets(string answer, int expected)
    {
        await using var node = await StandInNode.StartAsync("node", _registry.Endpoint, async context =>
        {
            if (context.Request.Path == "/token")
            {
                Assert.Equal(("reg", "repository:team/app:pull", ""), (context.Request.Query["service"].ToString(), context.Request.Query["scope"].ToString(), context.Request.Headers.Authorization.ToString()));
                await context.Response.WriteAsync(answer);
                return true;
            }

            if (context.Request.Headers.Authorization == "Bearer S3cret-right")
            {
                return false;
            }

            context.Response.StatusCode = 401;
            context.Response.Headers.WWWAuthenticate = $"Bearer realm=\"http://{context.Request.Host}/token\",service=\"reg\",scope=\"repository:team/app:pull\"";
            return true;
        });

        var exitCode = await RunThroughAsync(node.Facade, Reference, "--platform", "linux/amd64");

        Assert.Equal(expected, exitCode);
        Assert.Equal(expected != 0, _errors.ToString().Contains("401", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Fetch_ImageIntoAnEmptyFolder_UsesIt()
    {
        Directory.CreateDirectory(Output);
        Assert.Equal(0, await RunAsync(Reference, "--output", Output, "--platform", "linux/amd64"));
        Assert.True(File.Exists(Path.Combine(Output, "index.json")));
    }

    [Fact]
    public async Task Fetch_WithoutOutput_VerifiesAndWritesNothing()
    {
        Assert.Equal(0, await RunAsync(Reference, "--platform", "linux/amd64"));

        Assert.Empty(_folder.GetFileSystemInfos());
        Assert.Equal(Image.TotalBytes, _registry.Counts.BodyBytes);
        Assert.Contains($"{Image.Index.Digest}: ", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("every digest is right", _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fetch_BlobUrl_WritesTheFileInPlaceOfAnOldOne()
    {
        var layer = Image.Layers[1];
        await File.WriteAllTextAsync(Output, "old");

        Assert.Equal(0, await RunAsync($"https://reg.test/v2/team/app/blobs/{layer.Digest}", "-o", Output));

        Assert.Equal(layer.Digest, Digest.OfSha256(await File.ReadAllBytesAsync(Output)));
        Assert.Single(_folder.GetFileSystemInfos());
    }

    [Fact]
    public async Task Fetch_Json_IsOneObject()
    {
        var exitCode = await RunAsync(Reference, "--json", "--platform", "linux/amd64");

        Assert.Equal(0, exitCode);
        using var json = JsonDocument.Parse(_output.ToString());
        var report = json.RootElement;
        Assert.True(report.GetProperty("ok").GetBoolean());
        Assert.Equal(Image.TotalBytes, report.GetProperty("bytes").GetInt64());
        Assert.Equal(Image.Index.Digest.ToString(), report.GetProperty("digest").GetString());
        Assert.Equal(JsonValueKind.Null, report.GetProperty("sources").ValueKind);
        Assert.Equal(Image.Contents.Select(content => content.Digest.ToString()), report.GetProperty("contents").EnumerateArray().Select(content => content.GetProperty("digest").GetString()));
    }

    [Fact]
    public async Task Fetch_NodeTellsItsBytes_SaysWhereTheyCameFrom()
    {
        await using var status = await StatusNode.StartAsync(
            new GetStatusResponse { OriginBytes = 1000, PeerReceivedBytes = 5000 },
            new GetStatusResponse { OriginBytes = 101_000, PeerReceivedBytes = 305_000 });

        await RunAsync(Reference, "--json", "--platform", "linux/amd64", "--node", status.Address.ToString());

        using var json = JsonDocument.Parse(_output.ToString());
        var sources = json.RootElement.GetProperty("sources");
        Assert.Equal((100_000, 300_000, Image.TotalBytes - 400_000), (sources.GetProperty("originBytes").GetInt64(), sources.GetProperty("peerBytes").GetInt64(), sources.GetProperty("cacheBytes").GetInt64()));
    }

    [Fact]
    public async Task Fetch_FacadeWithoutNode_AsksNobodyForTheSources()
    {
        var exitCode = await FetchCommand.Create()
            .Parse([Reference, "--platform", "linux/amd64", "--facade", _node.Facade.ToString()])
            .InvokeAsync(new InvocationConfiguration { Output = _output, Error = _errors });

        Assert.Equal((0, ""), (exitCode, _errors.ToString()));
        Assert.Contains("every digest is right", _output.ToString(), StringComparison.Ordinal);
        Assert.Contains("Where it came from is unknown: with --facade, give also the mesh listener of that node (--node)", _output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/blobs/")]
    [InlineData("/manifests/sha256:")]
    public async Task Fetch_WrongByte_FailsAndLeavesNothing(string where)
    {
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, change: (path, body) =>
        {
            body[body.Length / 2] ^= (byte)(path.Contains(where, StringComparison.Ordinal) ? 1 : 0);
            return body;
        });

        Assert.Equal(1, await RunThroughAsync(node.Facade, Reference, "--output", Output, "--platform", "linux/amd64"));
        Assert.Matches(@"^peerd fetch: .* sha256:[0-9a-f]{64}: the bytes that came do not match the digest\n$", _errors.ToString());
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Theory]
    [InlineData(1, "offers")]
    [InlineData(-1, "offers")]
    public async Task Fetch_WrongLength_FailsAndLeavesNothing(int difference, string error)
    {
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, change: (path, body) =>
            path.Contains("/blobs/", StringComparison.Ordinal) ? [.. body.Take(body.Length + Math.Min(0, difference)), .. new byte[Math.Max(0, difference)]] : body);

        Assert.Equal(1, await RunThroughAsync(node.Facade, Reference, "--output", Output, "--platform", "linux/amd64"));
        Assert.Contains(error, _errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Fact]
    public async Task Fetch_ConnectionEndsInMidBody_FailsAndLeavesNothing()
    {
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, intercept: async context =>
        {
            if (!context.Request.Path.Value!.Contains("/blobs/", StringComparison.Ordinal))
            {
                return false;
            }

            context.Response.ContentLength = Image.Layers[0].Size;
            await context.Response.Body.WriteAsync(new byte[1000]);
            return true;
        });

        var url = $"https://reg.test/v2/team/app/blobs/{Image.Layers[0].Digest}";
        Assert.Equal(1, await RunThroughAsync(node.Facade, url, "--output", Output));
        Assert.Matches(@"^peerd fetch: blob sha256:[0-9a-f]{64}: the node ended the connection after \d+ bytes\n$", _errors.ToString());
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Theory]
    [InlineData("reg.test/team/other:v1", "peerd fetch: reg.test/team/other manifests/v1: 404 MANIFEST_UNKNOWN: this registry has one image only\n")]
    [InlineData("https://reg.test/v2/team/app/blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000", "peerd fetch: reg.test/team/app blobs/sha256:0000000000000000000000000000000000000000000000000000000000000000: 404 BLOB_UNKNOWN: this registry has one image only\n")]
    public async Task Fetch_WhatIsNotThere_TellsTheErrorOfTheNode(string target, string error)
    {
        Assert.Equal(1, await RunAsync(target, "--output", Output));
        Assert.Equal(error, _errors.ToString());
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Fact]
    public async Task Fetch_ErrorOfTheNodeWithLineBreaks_StaysOneLine()
    {
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, intercept: async context =>
        {
            context.Response.StatusCode = 503;
            await context.Response.WriteAsync("""{"errors":[{"code":"UNAVAILABLE","message":"no\nsource\u001b[31m"}]}""");
            return true;
        });

        Assert.Equal(1, await RunThroughAsync(node.Facade, $"https://reg.test/v2/a/blobs/{Image.Config.Digest}"));
        Assert.Equal($"peerd fetch: reg.test/a blobs/{Image.Config.Digest}: 503 UNAVAILABLE: no source [31m\n", _errors.ToString());
    }

    [Fact]
    public async Task Fetch_ErrorOfTheNodeThatIsNoJson_TellsTheStatus()
    {
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, intercept: async context =>
        {
            context.Response.StatusCode = 502;
            await context.Response.WriteAsync("<html>");
            return true;
        });

        Assert.Equal(1, await RunThroughAsync(node.Facade, Reference));
        Assert.Equal("peerd fetch: reg.test/team/app manifests/v1: 502 Bad Gateway\n", _errors.ToString());
    }

    [Theory]
    [InlineData("{")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("""{"manifests":[{"digest":"sha256:12","size":1}]}""")]
    [InlineData("""{"manifests":[null]}""")]
    [InlineData("""{"manifests":[]}""")]
    [InlineData("""{"config":null,"layers":[]}""")]
    [InlineData("""{"manifests":[{"digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":-1}]}""")]
    public async Task Fetch_ManifestThatIsNone_FailsInOneLine(string manifest)
    {
        var bytes = System.Text.Encoding.UTF8.GetBytes(manifest);
        await using var node = await StandInNode.StartAsync("bad", _registry.Endpoint, intercept: async context =>
        {
            context.Response.Headers["Docker-Content-Digest"] = Digest.OfSha256(bytes).ToString();
            context.Response.ContentLength = bytes.Length;
            if (HttpMethods.IsGet(context.Request.Method))
            {
                await context.Response.Body.WriteAsync(bytes);
            }

            return true;
        });

        Assert.Equal(1, await RunThroughAsync(node.Facade, Reference, "--output", Output));
        Assert.Single(_errors.ToString().TrimEnd('\n').Split('\n'));
        Assert.StartsWith("peerd fetch: ", _errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Fact]
    public async Task Fetch_HeadWithoutDigest_ReadsTheTagToLearnIt()
    {
        await using var node = await StandInNode.StartAsync("old", _registry.Endpoint, intercept: context =>
        {
            context.Response.OnStarting(() =>
            {
                context.Response.Headers.Remove("Docker-Content-Digest");
                return Task.CompletedTask;
            });
            return Task.FromResult(false);
        });

        Assert.Equal(0, await RunThroughAsync(node.Facade, Reference, "--platform", "linux/amd64"));
        Assert.Contains(Image.Index.Digest.ToString(), _output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Fetch_PlatformThatIsMissing_NamesThoseThatAreThere()
    {
        Assert.Equal(1, await RunAsync(Reference, "--platform", "linux/s390x"));
        Assert.Equal("peerd fetch: reg.test/team/app:v1 has no image for linux/s390x; it has linux/amd64\n", _errors.ToString());
    }

    [Fact]
    public async Task Fetch_NoNodeThere_SaysSo()
    {
        using var closed = new ClosedPort();
        var address = new Uri($"http://127.0.0.1:{closed.Number}");

        Assert.Equal(1, await RunThroughAsync(address, Reference, "--output", Output, "--json"));
        Assert.Contains($"no node answers at {address.GetLeftPart(UriPartial.Authority)}: is peerd running there?", _errors.ToString(), StringComparison.Ordinal);
        using var json = JsonDocument.Parse(_output.ToString());
        Assert.False(json.RootElement.GetProperty("ok").GetBoolean());
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    [Theory]
    [InlineData("alpine", "which exists; allowed: a folder that does not exist or is empty")]
    [InlineData("https://reg.example/v2/a/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "which is a folder; allowed: a file")]
    public async Task Fetch_OutputIsInTheWay_IsRefusedInOneLine(string target, string fault)
    {
        Assert.Equal(2, await RunAsync(target, "--output", "/"));
        Assert.Equal(("", $"peerd fetch: --output is '/', {fault}\n"), (_output.ToString(), _errors.ToString()));
        Assert.Equal(0, _registry.Counts.Requests);
    }

    [Fact]
    public async Task Fetch_StoppedInTheMiddle_LeavesNothing()
    {
        using var stop = new CancellationTokenSource();
        await using var node = await StandInNode.StartAsync("slow", _registry.Endpoint, intercept: async context =>
        {
            if (!context.Request.Path.Value!.Contains("/blobs/", StringComparison.Ordinal))
            {
                return false;
            }

            await stop.CancelAsync();
            await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
            return true;
        });

        var exitCode = await RunAsync(node.Facade, stop.Token, Reference, "--output", Output, "--platform", "linux/amd64");

        Assert.Equal((130, "peerd fetch: stopped\n"), (exitCode, _errors.ToString()));
        Assert.Empty(_folder.GetFileSystemInfos());
    }

    private Task<int> RunAsync(params string[] arguments) => RunThroughAsync(_node.Facade, arguments);

    private Task<int> RunThroughAsync(Uri facade, params string[] arguments) => RunAsync(facade, CancellationToken.None, arguments);

    private Task<int> RunAsync(Uri facade, CancellationToken cancellationToken, params string[] arguments)
    {
        // Nothing listens on port 1.
        string[] node = arguments.Contains("--node") ? [] : ["--node", "http://127.0.0.1:1"];
        return FetchCommand.Create()
            .Parse([.. arguments, "--facade", facade.ToString(), .. node])
            .InvokeAsync(new InvocationConfiguration { Output = _output, Error = _errors }, cancellationToken);
    }

    /// <summary>Answers GetStatus with one answer after the other.</summary>
    private sealed class StatusNode(WebApplication app) : IAsyncDisposable
    {
        public Uri Address => new(app.Urls.First());

        public static async Task<StatusNode> StartAsync(params GetStatusResponse[] answers)
        {
            var builder = WebApplication.CreateSlimBuilder();
            builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen => listen.Protocols = HttpProtocols.Http2));
            builder.Logging.ClearProviders();
            builder.Services.AddGrpc();
            builder.Services.AddSingleton(new Answers(new Queue<GetStatusResponse>(answers)));
            var app = builder.Build();
            app.MapGrpcService<Service>();
            await app.StartAsync();
            return new StatusNode(app);
        }

        public ValueTask DisposeAsync() => app.DisposeAsync();

        internal sealed record Answers(Queue<GetStatusResponse> Queue);

        internal sealed class Service(Answers answers) : NodeService.NodeServiceBase
        {
            public override Task<GetStatusResponse> GetStatus(GetStatusRequest request, ServerCallContext context) => Task.FromResult(answers.Queue.Dequeue());
        }
    }
}
