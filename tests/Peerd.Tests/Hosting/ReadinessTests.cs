using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Hosting;
using Peerd.Node.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>A node is ready only while it would serve, and sees so from outside: through its own listeners.</summary>
public sealed class ReadinessTests
{
    [Theory]
    [InlineData("Facade")]
    [InlineData("Mesh")]
    public async Task Readyz_AListenerIsLost_IsNotReadyAndSaysWhy(string kind)
    {
        var control = new SwitchedTransport.Switch();
        await using var mesh = await StartAsync(kind, control);
        await mesh.Node.WaitUntilReadyAsync();

        await control.LoseAsync();

        Assert.StartsWith($"not ready: the listener of the {Lower(kind)}, 127.0.0.1:", await NotReadyAsync(mesh.Node), StringComparison.Ordinal);
        Assert.Equal(HttpStatusCode.OK, await mesh.Node.ProbeAsync("/healthz"));
    }

    [Theory]
    [InlineData("Facade")]
    [InlineData("Mesh")]
    public async Task Readyz_AListenerHangs_IsNotReadyUntilItAnswersAgain(string kind)
    {
        var control = new SwitchedTransport.Switch();
        await using var mesh = await StartAsync(kind, control);
        await mesh.Node.WaitUntilReadyAsync();

        var before = Told().Count;
        control.Hang();

        var text = await NotReadyAsync(mesh.Node);
        Assert.StartsWith($"not ready: the listener of the {Lower(kind)}, 127.0.0.1:", text, StringComparison.Ordinal);
        Assert.Contains("has not answered within 2 s", text, StringComparison.Ordinal);
        control.GoOn();
        await mesh.Node.WaitUntilReadyAsync();

        // Each is told once, whoever asks how often.
        Assert.Equal([LogLevel.Warning, LogLevel.Information], Told().Skip(before).Select(record => record.Level));

        List<FakeLogRecord> Told() => [.. mesh.Node.Logs.GetSnapshot().Where(record => record.Category == typeof(Readiness).FullName)];
    }

    // It listens at the same ports, and has the connections: were it asked, one that hangs would have the old process ended, too.
    [Fact]
    public async Task Readyz_AnotherProcessTakesOver_DoesNotAnswerForThisOne()
    {
        var cache = System.IO.Directory.CreateTempSubdirectory("peerd-readiness-");
        var control = new SwitchedTransport.Switch();
        await using (var mesh = await StartAsync(nameof(ListenerKind.Facade), control, settings: ["--Peerd:Handover:Enabled=true"], cache: cache.FullName))
        {
            try
            {
                await mesh.Node.WaitUntilReadyAsync();
                control.Hang();
                await NotReadyAsync(mesh.Node);
                using (var next = new CacheLocks(cache.FullName))
                {
                    Assert.True(next.TryQueue());
                    await Wait.UntilAsync(() => mesh.Node.Cache.IsReleased, "the new process gets the directory");
                    await mesh.Node.WaitUntilReadyAsync();
                }

                // The new one is gone, and what the old one says of itself counts again.
                await Wait.UntilAsync(() => !mesh.Node.Cache.IsReleased, "the old process has the directory again");
                await NotReadyAsync(mesh.Node);
            }
            finally
            {
                control.GoOn();
            }

            await mesh.Node.WaitUntilReadyAsync();
        }

        cache.Delete(recursive: true);
    }

    [Fact]
    public async Task Readyz_TheFacadeHasTooMuchToDo_IsReadyAllTheSame()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var large = mesh.Blob(48 << 20);
        await mesh.Node.WaitUntilReadyAsync();
        using (var held = await mesh.Node.SendAsync(large.Digest))
        {
            Assert.Equal(HttpStatusCode.OK, held.StatusCode);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await mesh.Node.Client.GetAsync("/v2/")).StatusCode);

            // Clients are sent to the registry at once, which is what a node does that works. Were it not ready, an upgrade would
            // take it, and all that have as much to do, for lost, and start them all anew at the same time.
            await mesh.Node.WaitUntilReadyAsync();
        }
    }

    // Not ready, a node with many clients would be taken for lost in an upgrade, as would all that have as many.
    [Theory]
    [InlineData("Facade", "Facade:MaxConnections", "peerd.facade.shed")]
    [InlineData("Mesh", "Limits:MeshConnections", "peerd.mesh.refused")]
    public async Task Readyz_AListenerHasAllTheConnectionsThatItMay_IsReadyAllTheSame(string kind, string key, string turnedAway)
    {
        var time = new FakeTimeProvider();
        await using var mesh = await TestMesh.StartAsync(time: time, settings: [$"--Peerd:{key}=2"]);
        using var counted = new MetricCollector<long>(mesh.Node.Get<System.Diagnostics.Metrics.IMeterFactory>(), "Peerd", turnedAway);
        await mesh.Node.WaitUntilReadyAsync();
        var clients = new List<Socket>();
        try
        {
            await FillAsync(mesh.Node, kind, clients);
            var before = counted.GetMeasurementSnapshot().EvaluateAsCounter();
            for (var i = 0; i < 3; i++)
            {
                time.Advance(Readiness.AnswerMemory);
                Assert.Equal((HttpStatusCode.OK, "ok\n"), await ReadyzAsync(mesh.Node));
            }

            Assert.Equal(before, counted.GetMeasurementSnapshot().EvaluateAsCounter());
            Assert.All(clients, client => Assert.True(IsOpen(client)));
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    // Were a full one not asked, it would stay for hours what it was at one slow moment.
    [Fact]
    public async Task Readyz_TheFacadeWasNotReadyAndGetsAllTheConnectionsThatItMay_IsReadyWhenItAnswersAgain()
    {
        var control = new SwitchedTransport.Switch();
        await using var mesh = await StartAsync(nameof(ListenerKind.Facade), control, settings: ["--Peerd:Facade:MaxConnections=2"]);
        await mesh.Node.WaitUntilReadyAsync();
        control.Hang();
        await NotReadyAsync(mesh.Node);
        using var first = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        using var second = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await first.ConnectAsync(IPAddress.Loopback, mesh.Node.Client.BaseAddress!.Port);
        await second.ConnectAsync(IPAddress.Loopback, mesh.Node.Client.BaseAddress!.Port);

        control.GoOn();

        await mesh.Node.WaitUntilReadyAsync();
    }

    [Fact]
    public async Task Readyz_TheFacadeHasAllTheConnectionsThatItMayAndHangs_IsNotReadyUntilItAnswersAgain()
    {
        var control = new SwitchedTransport.Switch();
        await using var mesh = await StartAsync(nameof(ListenerKind.Facade), control, settings: ["--Peerd:Facade:MaxConnections=2"]);
        var large = mesh.Blob(48 << 20);
        await mesh.Node.WaitUntilReadyAsync();
        using var first = await mesh.Node.SendAsync(large.Digest);
        using var second = await mesh.Node.SendAsync(large.Digest);
        Assert.Equal((HttpStatusCode.OK, HttpStatusCode.OK), (first.StatusCode, second.StatusCode));

        control.Hang();
        Assert.Contains("has not answered within 2 s", await NotReadyAsync(mesh.Node), StringComparison.Ordinal);

        // Its connections are all in use as before.
        control.GoOn();
        await mesh.Node.WaitUntilReadyAsync();
    }

    [Fact]
    public async Task Readyz_TheMeshHasAllTheConnectionsThatItMayAndHangs_IsNotReadyUntilItAnswersAgain()
    {
        var control = new SwitchedTransport.Switch();
        await using var mesh = await StartAsync(nameof(ListenerKind.Mesh), control, settings: ["--Peerd:Limits:MeshConnections=2"]);
        await mesh.Node.WaitUntilReadyAsync();
        var clients = new List<Socket>();
        try
        {
            await FillAsync(mesh.Node, nameof(ListenerKind.Mesh), clients);
            control.Hang();
            Assert.Contains("has not answered within 2 s", await NotReadyAsync(mesh.Node), StringComparison.Ordinal);

            control.GoOn();
            await mesh.Node.WaitUntilReadyAsync();
            Assert.All(clients, client => Assert.True(IsOpen(client)));
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    /// <summary>Takes both places of a listener that has two.</summary>
    private static async Task FillAsync(TestNode node, string kind, List<Socket> clients)
    {
        var isMesh = kind == nameof(ListenerKind.Mesh);
        var there = isMesh ? node.MeshEndPoint : new IPEndPoint(IPAddress.Loopback, node.Client.BaseAddress!.Port);
        while (clients.Count < 2)
        {
            var client = new Socket(there.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await client.ConnectAsync(there);
            if (await IsServedAsync(client, isMesh))
            {
                clients.Add(client);
            }
            else
            {
                // Somebody else is still there for a moment.
                client.Dispose();
            }
        }
    }

    private static bool IsOpen(Socket client)
    {
        var rest = new byte[4096];
        while (client.Poll(0, SelectMode.SelectRead))
        {
            if (client.Receive(rest) == 0)
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>The connection stays open: it has a place.</summary>
    private static async Task<bool> IsServedAsync(Socket client, bool isMesh)
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        try
        {
            await client.SendAsync(isMesh ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u0004\0\0\0\0\0"u8.ToArray() : "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray(), patience.Token);
            return await client.ReceiveAsync(new byte[1], patience.Token) > 0;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    [Fact]
    public async Task Readyz_OwnRequests_CountAsNoneOfAClient()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Requests=1"]);
        var meters = mesh.Node.Get<System.Diagnostics.Metrics.IMeterFactory>();
        using var requests = new MetricCollector<long>(meters, "Peerd", "peerd.facade.requests");
        using var overloaded = new MetricCollector<long>(meters, "Peerd", "peerd.facade.overloaded");
        await mesh.Node.WaitUntilReadyAsync();
        var large = mesh.Blob(48 << 20);
        using (var held = await mesh.Node.SendAsync(large.Digest))
        {
            await mesh.Node.WaitUntilReadyAsync();
            Assert.Empty(requests.GetMeasurementSnapshot());
            Assert.Equal(0, overloaded.GetMeasurementSnapshot().EvaluateAsCounter());
        }

        // It is counted what a client asks for, were it the same.
        await Wait.UntilAsync(async () => (await mesh.Node.Client.GetAsync("/v2/")).StatusCode == HttpStatusCode.OK, "there is room for a client");
        await Wait.UntilAsync(() => requests.GetMeasurementSnapshot().Any(measured => (string?)measured.Tags["code"] == "200" && (string?)measured.Tags["source"] == "none"), "that request is counted");
    }

    [Fact]
    public async Task Readyz_ManyAskAllTheTime_TheListenersAreAskedOnceASecond()
    {
        var control = new SwitchedTransport.Switch();
        var time = new FakeTimeProvider();
        await using var mesh = await StartAsync(nameof(ListenerKind.Facade), control, time);
        await mesh.Node.WaitUntilReadyAsync();
        var before = control.Accepted;

        Assert.All(await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => ReadyzAsync(mesh.Node))), answer => Assert.Equal(HttpStatusCode.OK, answer.Status));
        Assert.Equal(before, control.Accepted);

        time.Advance(Readiness.AnswerMemory);
        Assert.All(await Task.WhenAll(Enumerable.Range(0, 64).Select(_ => ReadyzAsync(mesh.Node))), answer => Assert.Equal(HttpStatusCode.OK, answer.Status));
        Assert.Equal(before + 1, control.Accepted);
    }

    private static Task<TestMesh> StartAsync(string kind, SwitchedTransport.Switch control, TimeProvider? time = null, string[]? settings = null, string? cache = null) => TestMesh.StartAsync(
        settings: settings,
        cache: cache,
        time: time,
        customize: services => services.AddSingleton<IConnectionListenerFactory>(
            provider => ActivatorUtilities.CreateInstance<SwitchedTransport>(provider, Enum.Parse<ListenerKind>(kind), control)));

    private static async Task<string> NotReadyAsync(TestNode node)
    {
        var text = string.Empty;
        await Wait.UntilAsync(
            async () =>
            {
                (var status, text) = await ReadyzAsync(node);
                return status == HttpStatusCode.ServiceUnavailable;
            },
            "the node is not ready");
        return text;
    }

    private static async Task<(HttpStatusCode Status, string Text)> ReadyzAsync(TestNode node)
    {
        using var client = new HttpClient { BaseAddress = node.Metrics };
        using var answer = await client.GetAsync("/readyz");
        return (answer.StatusCode, await answer.Content.ReadAsStringAsync());
    }

    private static string Lower(string kind) => kind == nameof(ListenerKind.Facade) ? "facade" : "mesh";
}
