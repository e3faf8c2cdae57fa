using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Limits;

/// <summary>What a node holds in all, with real requests whose clients take nothing.</summary>
public sealed class HeldMemoryTests
{
    private const int MiB = 1 << 20;
    private const int Limit = 48 * MiB;
    private const int Clients = 40;

    /// <summary>As much as overlaybd reads at once.</summary>
    private const int Range = 4 * MiB;

    // What connections and the rest of the tests hold meanwhile, which are in this process.
    private const int Others = 32 * MiB;

    // At a host that takes its time many may ask before anybody holds anything.
    [Fact]
    public async Task Enter_OthersAreAboutToHoldAllOfIt_OnlyAFewGoOn()
    {
        var held = 0L;
        using var memory = new HeldMemory(Options.Create(new LimitOptions { Memory = (1L << 40).ToString(CultureInfo.InvariantCulture) }), () => Volatile.Read(ref held));
        var first = await memory.EnterAsync(1L << 41, TestContext.Current.CancellationToken);
        var few = new List<HeldPlace>();
        for (var i = 0; i < 4; i++)
        {
            few.Add(await memory.EnterAsync(Range, TestContext.Current.CancellationToken));
        }

        var waiting = memory.EnterAsync(Range, TestContext.Current.CancellationToken).AsTask();
        Assert.False(waiting.IsCompleted);

        // Its bytes are counted elsewhere from now on; here they never are, as when it has given up.
        first.Holds();
        first.Dispose();
        (await waiting.WaitAsync(Wait.Longest)).Dispose();
        few.ForEach(place => place.Dispose());

        // Who holds it is counted.
        Volatile.Write(ref held, 1L << 41);
        few = [await memory.EnterAsync(Range, TestContext.Current.CancellationToken)];
        Assert.True(memory.IsOver);
        Volatile.Write(ref held, 0);
        few[0].Dispose();
        (await memory.EnterAsync(Range, TestContext.Current.CancellationToken)).Dispose();
        Assert.False(memory.IsOver);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Blobs_ClientsThatTakeNothing_HoldBoundedMemoryAndGetAllOfItLater(bool isShared)
    {
        // Nobody is told that it takes too long: that is not what is tested.
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(0.1), settings: [$"--Peerd:Limits:Memory={Limit}"]);
        var memory = mesh.Node.Get<HeldMemory>();
        var sample = mesh.Blob(2 * Range);

        // With two digests nobody can tell which one it is, and the URL itself is read.
        var path = $"/v2/r/blobs/{sample.Digest}{(isShared ? string.Empty : $"?d=sha256:{new string('0', 64)}")}";
        var clients = new List<Socket>();
        try
        {
            for (var i = 0; i < Clients; i++)
            {
                var client = await AskAsync(mesh, path, $"0-{Range - 1}");
                clients.Add(client);
                await Wait.UntilAsync(() => client.Available > 0 || memory.IsOver, "the answer begins, or waits for a place");
            }

            Assert.True(memory.IsOver, $"{memory.Bytes} bytes are held: the test has tested nothing");
            Assert.InRange(memory.Bytes, Limit, Limit + (4 * Range) + Others);
            Assert.Equal(HttpStatusCode.ServiceUnavailable, (await mesh.Node.GetAsync(sample.Digest)).Status);

            // They read on: those that had a place, and those that wait for one.
            var answers = await Task.WhenAll(clients.Select(client => ReadAsync(client, Range)));
            Assert.All(answers, answer => Assert.True(answer.AsSpan()[^Range..].SequenceEqual(sample.Bytes.AsSpan(0, Range)), "not all of it, or something else"));
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }

        await Wait.UntilAsync(async () => (await mesh.Node.GetAsync(sample.Digest)).Status == HttpStatusCode.OK, "requests are answered again");
    }

    // How much that is of a blob is known with its head, and then they all are there at once.
    [Theory]
    [InlineData("0-")]
    [InlineData("0-99999999")]
    public async Task Blobs_RangesWithoutABoundOfASmallBlob_HoldBoundedMemory(string range)
    {
        await using var mesh = await TestMesh.StartAsync(time: new QuickTime(0.1), settings: [$"--Peerd:Limits:Memory={Limit}"]);
        var memory = mesh.Node.Get<HeldMemory>();
        var sample = mesh.Blob(3 * MiB);
        var asked = 0;
        var heads = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Registry.Before = async _ =>
        {
            Interlocked.Increment(ref asked);
            await heads.Task;
        };
        var clients = new List<Socket>();
        try
        {
            for (var i = 0; i < Clients; i++)
            {
                clients.Add(await AskAsync(mesh, $"/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}", range));
            }

            await Wait.UntilAsync(() => Volatile.Read(ref asked) == Clients, "all have asked");
            heads.SetResult();
            await Wait.UntilAsync(() => clients.TrueForAll(client => client.Available > 0), "all answers begin");

            Assert.InRange(memory.Bytes, 0, Limit + Others);
            Assert.All(await Task.WhenAll(clients.Select(client => ReadAsync(client, sample.Bytes.Length))), answer => Assert.True(answer.AsSpan()[^sample.Bytes.Length..].SequenceEqual(sample.Bytes), "not all of it, or something else"));
        }
        finally
        {
            clients.ForEach(client => client.Dispose());
        }
    }

    // As when all who wait for a host that is silent have announced all there is, and have all places.
    [Fact]
    public async Task Blobs_AllIsAnnouncedAndAllPlacesAreTaken_ShortRangesAreReadAllTheSame()
    {
        const int Short = 64 << 10;
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Memory=1TiB"]);
        var sample = mesh.Blob(2 * Range);
        var memory = mesh.Node.Get<HeldMemory>();
        var taken = new List<HeldPlace> { await memory.EnterAsync(1L << 41, TestContext.Current.CancellationToken) };
        for (var i = 0; i < 4; i++)
        {
            taken.Add(await memory.EnterAsync(Range, TestContext.Current.CancellationToken));
        }

        using var request = new HttpRequestMessage(HttpMethod.Get, $"/blobs/{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}?d=sha256:{new string('0', 64)}") { Headers = { Range = new(1000, 1000 + Short - 1) } };
        using var answer = await mesh.Node.Client.SendAsync(request, TestContext.Current.CancellationToken);

        Assert.Equal(HttpStatusCode.PartialContent, answer.StatusCode);
        Assert.Equal(sample.Bytes[1000..(1000 + Short)], await answer.Content.ReadAsByteArrayAsync(TestContext.Current.CancellationToken));
        var waiting = memory.EnterAsync(Range, TestContext.Current.CancellationToken).AsTask();
        Assert.False(waiting.IsCompleted, "there was a place");
        taken.ForEach(static place => place.Dispose());
        (await waiting).Dispose();
    }

    private static async Task<Socket> AskAsync(TestMesh mesh, string path, string range)
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveBufferSize = 4096 };
        await client.ConnectAsync(IPAddress.Loopback, mesh.Node.Client.BaseAddress!.Port);
        await client.SendAsync(Encoding.ASCII.GetBytes($"GET /blobs/{mesh.Registry.Url}{path} HTTP/1.1\r\nHost: x\r\nRange: bytes={range}\r\nConnection: close\r\n\r\n"));
        return client;
    }

    private static async Task<byte[]> ReadAsync(Socket client, int length)
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        await using var stream = new NetworkStream(client, ownsSocket: false);
        using var all = new MemoryStream();
        await stream.CopyToAsync(all, patience.Token);
        Assert.True(all.Length >= length, Encoding.ASCII.GetString(all.ToArray().AsSpan(0, Math.Min(200, (int)all.Length))));
        return all.ToArray();
    }
}
