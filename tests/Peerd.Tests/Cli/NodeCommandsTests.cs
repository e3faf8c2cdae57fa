using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Cli;
using Peerd.Node.Cli.Fetch;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Tests.Cli;

/// <summary>status, ring and peers against a real server.</summary>
public sealed class NodeCommandsTests
{
    private static readonly Digest Content = Digest.OfSha256("content"u8);

    private static readonly GetStatusResponse Status = new()
    {
        Node = "node-1",
        Version = "1.2.3",
        UptimeSeconds = 3723,
        Members = 3,
        ConnectedPeers = 2,
        RingVersion = "00112233aabbccdd",
        CacheBytes = 3L << 29,
        CacheCapacityBytes = 10L << 30,
        Contents = 7,
        Downloads = 1,
        DirectoryContents = 4,
        OriginBytes = 1L << 40,
        PeerReceivedBytes = 5,
        PeerSentBytes = 1 << 20,
        CacheWritable = true,
    };

    [Fact]
    public async Task Status_Redirected_PrintsPlainLines()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = _ => Task.FromResult(Status);

        var run = await CommandRun.OfAsync("status", "--address", node.Address);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal(
            [
                "node\tnode-1",
                "version\t1.2.3",
                "up for\t1 h 2 min",
                "ring\t00112233aabbccdd, 3 members",
                "connected peers\t2",
                "cache\t1.5 GiB of 10 GiB, 7 contents",
                "downloads\t1",
                "directory\t4 contents",
                "from origin\t1 TiB",
                "from peers\t5 B",
                "to peers\t1 MiB",
            ],
            run.Lines);
    }

    [Fact]
    public async Task Status_CacheCannotBeWritten_SaysSo()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = _ => Task.FromResult(new GetStatusResponse { CacheWritable = false, Members = 1 });

        var run = await CommandRun.OfAsync("status", "--address", node.Address);

        Assert.Contains(", 0 contents, cannot be written", run.Output, StringComparison.Ordinal);
        Assert.Contains(", 1 member\n", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Status_Json_PrintsOneObject()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = _ => Task.FromResult(Status);

        var run = await CommandRun.OfAsync("status", "--json", "--address", node.Address);

        Assert.Equal(0, run.ExitCode);
        Assert.Equal(
            """{"node":"node-1","version":"1.2.3","uptimeSeconds":3723,"members":3,"connectedPeers":2,"ringVersion":"00112233aabbccdd","cacheBytes":1610612736,"cacheCapacityBytes":10737418240,"cacheWritable":true,"contents":7,"downloads":1,"directoryContents":4,"originBytes":1099511627776,"peerReceivedBytes":5,"peerSentBytes":1048576}""",
            Assert.Single(run.Lines));
    }

    [Fact]
    public async Task Ring_WithoutDigest_PrintsMembersAndVersion()
    {
        await using var node = await StartWithRingAsync();

        var run = await CommandRun.OfAsync("ring", "--address", node.Address);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal(
            ["member\taddress\tzone", "a\t10.0.0.1:30001\tz1", "b\t[fd00::2]:30001\t", "version\t00112233aabbccdd", "members\t2"],
            run.Lines);
    }

    [Fact]
    public async Task Ring_WithDigest_PrintsOwnerAndReplicas()
    {
        await using var node = await StartWithRingAsync();

        var run = await CommandRun.OfAsync("ring", Content.ToString(), "--address", node.Address);

        Assert.Equal(0, run.ExitCode);
        Assert.Equal([$"content\t{Content}", "owner\tb", "replicas\ta"], run.Lines[^3..]);
    }

    [Fact]
    public async Task Ring_Json_PrintsOneObject()
    {
        await using var node = await StartWithRingAsync();

        var plain = await CommandRun.OfAsync("ring", "--json", "--address", node.Address);
        var run = await CommandRun.OfAsync("ring", Content.ToString(), "--json", "--address", node.Address);

        const string Members = """{"version":"00112233aabbccdd","members":[{"node":"a","address":"10.0.0.1:30001","zone":"z1"},{"node":"b","address":"[fd00::2]:30001","zone":""}]""";
        Assert.Equal(Members + "}", Assert.Single(plain.Lines));
        Assert.Equal($$"""{{Members}},"digest":"{{Content}}","owner":"b","replicas":["a"]}""", Assert.Single(run.Lines));
    }

    [Fact]
    public async Task Peers_PlainAndJson_TellEachPeer()
    {
        await using var node = await FakeNode.StartAsync();
        node.Peers = new ListPeersResponse
        {
            Peers =
            {
                new Peer { Node = "b", Address = "10.0.0.2:30001", Connected = true, ReceivedBytes = 2048, SentBytes = 1, Failures = 3 },
                new Peer { Node = "c", Address = "10.0.0.3:30001" },
            },
        };

        var plain = await CommandRun.OfAsync("peers", "--address", node.Address);
        var json = await CommandRun.OfAsync("peers", "--json", "--address", node.Address);

        Assert.Equal(
            ["peer\taddress\tconnected\treceived\tsent\tfailures", "b\t10.0.0.2:30001\tyes\t2 KiB\t1 B\t3", "c\t10.0.0.3:30001\tno\t0 B\t0 B\t0"],
            plain.Lines);
        var peers = JsonDocument.Parse(Assert.Single(json.Lines)).RootElement.GetProperty("peers");
        Assert.Equal(2, peers.GetArrayLength());
        Assert.Equal(
            """{"node":"b","address":"10.0.0.2:30001","connected":true,"receivedBytes":2048,"sentBytes":1,"failures":3}""",
            peers[0].GetRawText());
    }

    [Fact]
    public void Report_AtATerminal_DrawsATableAndTakesNamesLiterally()
    {
        using var output = new StringWriter();

        PeersCommand.Show(new ListPeersResponse { Peers = { new Peer { Node = "[red]b[/]" } } }, new Report(output, isTerminal: true), json: false);
        StatusCommand.Show(Status, new Report(output, isTerminal: true), json: false);

        Assert.Contains("[red]b[/]", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("│", output.ToString(), StringComparison.Ordinal);
        Assert.Contains("1.5 GiB of 10 GiB", output.ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("status")]
    [InlineData("ring")]
    [InlineData("peers")]
    public async Task AnyQuery_NobodyListens_SaysSoInOneLineAndExitsWith1(string verb)
    {
        // Bound and not listening: nobody else gets the port, and connections to it are refused.
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        var address = $"http://{socket.LocalEndPoint}";

        var run = await CommandRun.OfAsync(verb, "--json", "--address", address);

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.StartsWith($"peerd: no node can be reached at {address}", run.Error, StringComparison.Ordinal);
        Assert.Equal(1, run.Error.Count(c => c == '\n'));
    }

    [Fact]
    public async Task AnyQuery_NodeRefuses_TellsWhatItSaid()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = _ => throw new RpcException(new Grpc.Core.Status(StatusCode.PermissionDenied, "not\nyou"));

        var run = await CommandRun.OfAsync("status", "--address", node.Address);

        Assert.Equal((1, ""), (run.ExitCode, run.Output));
        Assert.Equal($"peerd: the node at {node.Address} answered PermissionDenied: not you\n", run.Error);
    }

    [Fact]
    public async Task RunAsync_NodeDoesNotAnswer_GivesUpAtTheDeadline()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = async cancellationToken =>
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return new GetStatusResponse();
        };
        await using var error = new StringWriter { NewLine = "\n" };

        var exitCode = await NodeQuery.RunAsync(
            new NodeAccess(new Uri(node.Address), MeshTls.Off),
            TimeSpan.FromMilliseconds(200),
            (client, options) => client.GetStatusAsync(new GetStatusRequest(), options),
            _ => Assert.Fail("there is no answer"),
            new InvocationConfiguration { Error = error },
            CancellationToken.None);

        Assert.Equal(1, exitCode);
        Assert.Equal($"peerd: the node at {node.Address} did not answer within 0.2 s\n", error.ToString());
    }

    [Fact]
    public async Task RunAsync_StoppedWhileItWaits_ExitsWith130()
    {
        using var stop = new CancellationTokenSource();
        await using var node = await FakeNode.StartAsync();
        node.Status = async cancellationToken =>
        {
            await stop.CancelAsync();
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            return new GetStatusResponse();
        };
        await using var error = new StringWriter { NewLine = "\n" };

        var exitCode = await NodeQuery.RunAsync(
            new NodeAccess(new Uri(node.Address), MeshTls.Off),
            TimeSpan.FromMinutes(1),
            (client, options) => client.GetStatusAsync(new GetStatusRequest(), options),
            _ => Assert.Fail("there is no answer"),
            new InvocationConfiguration { Error = error },
            stop.Token);

        Assert.Equal((130, "peerd: stopped\n"), (exitCode, error.ToString()));
    }

    [Fact]
    public async Task AnyQuery_ProxyInTheEnvironment_IsNotAsked()
    {
        await using var node = await FakeNode.StartAsync();
        node.Status = _ => Task.FromResult(new GetStatusResponse { OriginBytes = 7 });
        using var proxy = new DeadProxy(new Uri(node.Address).Port);

        var run = await CommandRun.OfAsync("status", "--address", node.Address);
        var bytes = await NodeBytes.ReadAsync(new NodeAccess(new Uri(node.Address), MeshTls.Off), TimeProvider.System, CancellationToken.None);

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Equal(7, bytes?.Origin);
    }

    private static async Task<FakeNode> StartWithRingAsync()
    {
        var node = await FakeNode.StartAsync();
        node.Ring = digest =>
        {
            var ring = new GetRingResponse
            {
                Version = "00112233aabbccdd",
                Members =
                {
                    new RingMember { Node = "a", Address = "10.0.0.1:30001", Zone = "z1" },
                    new RingMember { Node = "b", Address = "[fd00::2]:30001" },
                },
            };
            ring.Responsible.AddRange(digest == Content.ToString() ? ["b", "a"] : []);
            return ring;
        };
        return node;
    }

    /// <summary>What the variable http_proxy does, for one port only: other tests run in this process.</summary>
    private sealed class DeadProxy : IWebProxy, IDisposable
    {
        private readonly IWebProxy _usual = HttpClient.DefaultProxy;
        private volatile int _port;

        public DeadProxy(int port)
        {
            _port = port;
            HttpClient.DefaultProxy = this;
        }

        public ICredentials? Credentials { get; set; }

        public Uri GetProxy(Uri destination) => new("http://127.0.0.1:1");

        public bool IsBypassed(Uri host) => host.Port != _port;

        public void Dispose()
        {
            HttpClient.DefaultProxy = _usual;

            // Clients that were made meanwhile keep it, and the port may become theirs.
            _port = -1;
        }
    }
}
