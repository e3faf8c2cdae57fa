using System.CommandLine;
using System.Text.Json;
using Peerd.Node.Cli;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli.Demo;

public sealed class DemoCommandTests : IDisposable
{
    private readonly List<StandInNode> _nodes = [];
    private readonly StringWriter _output = new();
    private readonly StringWriter _errors = new();
    private string? _root;

    public void Dispose()
    {
        _output.Dispose();
        _errors.Dispose();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(5)]
    [InlineData(16)]
    public async Task Demo_AnyNumberOfNodes_AllGetTheImage(int count)
    {
        var exitCode = await RunAsync(StandInNode.Nodes(_nodes), "--nodes", $"{count}", "--size", "1MiB", "--layers", "4", "--json");

        Assert.Equal((0, ""), (exitCode, _errors.ToString()));
        var image = GeneratedImage.Create(new GeneratedImageOptions(1 << 20, 4));
        using var json = JsonDocument.Parse(_output.ToString());
        var report = json.RootElement;
        Assert.Equal(["nodes", "imageBytes", "originBytes", "originRequests", "amplification", "seconds", "perNode"], report.EnumerateObject().Select(property => property.Name));
        Assert.Equal(count, report.GetProperty("nodes").GetInt32());
        Assert.Equal(image.TotalBytes, report.GetProperty("imageBytes").GetInt64());
        Assert.Equal(count * image.TotalBytes, report.GetProperty("originBytes").GetInt64());
        Assert.Equal(count, report.GetProperty("amplification").GetDouble());

        // HEAD of the tag, index, manifest, config and four layers.
        Assert.Equal(count * 8, report.GetProperty("originRequests").GetInt32());
        Assert.Equal(count, report.GetProperty("perNode").GetArrayLength());
        Assert.All(report.GetProperty("perNode").EnumerateArray(), node =>
        {
            Assert.Equal(["node", "seconds", "originBytes", "peerBytes", "cacheBytes", "ok"], node.EnumerateObject().Select(property => property.Name));
            Assert.True(node.GetProperty("ok").GetBoolean());
            Assert.Equal(image.TotalBytes, node.GetProperty("originBytes").GetInt64());
        });
        AssertNothingIsLeft();
    }

    [Fact]
    public async Task Demo_ForPeople_PrintsLinesAndATable()
    {
        var exitCode = await RunAsync(StandInNode.Nodes(_nodes), "--nodes", "2", "--size", "100KiB");

        Assert.Equal(0, exitCode);
        var output = _output.ToString();
        Assert.Contains("node-2: started", output, StringComparison.Ordinal);
        Assert.Contains("node-2: done", output, StringComparison.Ordinal);
        Assert.Matches(@"\| node-1 +\| +\d+(\.\d)? KiB \| +0 B \| +0 B \|.*right", output);
        Assert.Contains("Amplification: 2.000 (without peerd: 2.000)", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Demo_OneNodeServesAWrongByte_FailsAndNamesTheNode()
    {
        var exitCode = await RunAsync(
            StandInNode.Nodes(_nodes, change: node => node == 1 ? FlipLastByteOfBlobs : null),
            "--nodes", "3", "--size", "300KiB", "--json");

        Assert.Equal(1, exitCode);
        Assert.Matches(@"^peerd demo: node-2: .* sha256:[0-9a-f]{64}: the bytes that came do not match the digest\n$", _errors.ToString());
        using var json = JsonDocument.Parse(_output.ToString());
        Assert.Equal([true, false, true], json.RootElement.GetProperty("perNode").EnumerateArray().Select(node => node.GetProperty("ok").GetBoolean()));
        AssertNothingIsLeft();
    }

    [Fact]
    public async Task Demo_NodeServesAnotherImage_Fails()
    {
        var other = GeneratedImage.Create(new GeneratedImageOptions(100_000, 1, Seed: 77));
        await using var otherRegistry = await DemoRegistry.StartAsync(other, "peerd/demo", "v1", CancellationToken.None);

        // Every digest is right in itself; only the image is not the one that was asked for.
        var exitCode = await RunAsync(
            (request, cancellationToken) => StandInNode.Nodes(_nodes)(request with { RegistryEndpoint = otherRegistry.Endpoint }, cancellationToken),
            "--nodes", "1", "--size", "100KiB", "--json");

        Assert.Equal(1, exitCode);
        Assert.Contains("the node served another image", _errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Demo_NodesCannotStart_FailsInOneLine()
    {
        var exitCode = await RunAsync((_, _) => throw new IOException("port 1 is in use"), "--json");

        Assert.Equal((1, "", "peerd demo: port 1 is in use\n"), (exitCode, _output.ToString(), _errors.ToString()));
        AssertNothingIsLeft();
    }

    [Fact]
    public async Task Demo_StoppedInTheMiddle_CleansUp()
    {
        using var stop = new CancellationTokenSource();
        var exitCode = await RunAsync(
            StandInNode.Nodes(_nodes, intercept: _ => async context =>
            {
                // Nobody answers any more: only the stop ends the pull.
                await stop.CancelAsync();
                await Task.Delay(Timeout.Infinite, context.RequestAborted).ContinueWith(_ => { }, TaskScheduler.Default);
                return true;
            }),
            stop.Token,
            "--nodes", "2", "--size", "100KiB");

        Assert.Equal((130, "peerd demo: stopped\n"), (exitCode, _errors.ToString()));
        AssertNothingIsLeft();
    }

    private static byte[] FlipLastByteOfBlobs(string path, byte[] body)
    {
        if (path.Contains("/blobs/", StringComparison.Ordinal))
        {
            body[^1] ^= 1;
        }

        return body;
    }

    private Task<int> RunAsync(StartNodes startNodes, params string[] arguments) => RunAsync(startNodes, CancellationToken.None, arguments);

    private Task<int> RunAsync(StartNodes startNodes, CancellationToken cancellationToken, params string[] arguments)
    {
        var command = DemoCommand.Create((request, stop) =>
        {
            _root = request.RootFolder;
            return startNodes(request, stop);
        });
        return command.Parse(arguments).InvokeAsync(new InvocationConfiguration { Output = _output, Error = _errors }, cancellationToken);
    }

    private void AssertNothingIsLeft()
    {
        Assert.NotNull(_root);
        Assert.False(Directory.Exists(_root));
        Assert.All(_nodes, node => Assert.True(node.IsDisposed));
    }
}
