using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Peerd.Tests.Hosting;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>What a range that is here costs in memory: overlaybd asks for thousands a second, and each pause of the collector is one of a container.</summary>
[Collection(nameof(AloneOnTheMachine))]
public sealed class BlobAllocationTests
{
    private const int MiB = 1024 * 1024;
    private const int RangeSize = 64 * 1024;
    private const int Size = 16 * MiB;
    private const int Requests = 4000;

    /// <summary>The web server's part included, four times what it is. A buffer of the range's size would be eight times as much.</summary>
    private const long MostBytes = 8 * 1024;

    [Fact]
    public async Task Range_IsHere_NothingOfItsSizeIsAllocated()
    {
        // What nobody logs is not formatted, either.
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Log:Level=Warning"]);
        var sample = mesh.Blob(Size);
        await ReadAllAsync(mesh.Node, UrlOf(mesh, sample), sample);
        await Wait.UntilAsync(() => mesh.Node.Cache.TryPeek(sample.Digest, out var content) && content.IsVerified, "it is here and right");

        var bytes = await Task.Factory.StartNew(() => Measure(mesh.Node.Client.BaseAddress!.Port, UrlOf(mesh, sample), sample.Bytes), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

        TestContext.Current.TestOutputHelper?.WriteLine($"{bytes} bytes for each range");
        Assert.InRange(bytes, 1, MostBytes);
    }

    /// <summary>Bytes that the whole process allocates for each request; the client of the test allocates nothing.</summary>
    private static long Measure(int port, string url, byte[] expected)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true, ReceiveTimeout = (int)Wait.Longest.TotalMilliseconds };
        socket.Connect(IPAddress.Loopback, port);
        var requests = Enumerable.Range(0, (Size / RangeSize) - 1).Select(i => (i * RangeSize) + (i * 512 % RangeSize)).Select(offset => (Offset: offset, Text: Encoding.ASCII.GetBytes(string.Create(
            CultureInfo.InvariantCulture, $"GET /blobs/{url} HTTP/1.1\r\nHost: localhost:30000\r\nUser-Agent: overlaybd/1.0\r\nConnection: keep-alive\r\nRange: bytes={offset}-{offset + RangeSize - 1}\r\n\r\n")))).ToArray();
        var answer = new byte[RangeSize + (16 * 1024)];
        Read(Requests / 4);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        Read(Requests);
        return (GC.GetTotalAllocatedBytes(precise: true) - before) / Requests;

        void Read(int count)
        {
            for (var i = 0; i < count; i++)
            {
                var (offset, text) = requests[i % requests.Length];
                socket.Send(text);
                var (filled, body) = (0, 0);
                while (body == 0 || filled < body + RangeSize)
                {
                    var received = socket.Receive(answer.AsSpan(filled));
                    Assert.NotEqual(0, received);
                    filled += received;
                    body = body == 0 && answer.AsSpan(0, filled).IndexOf("\r\n\r\n"u8) is >= 0 and var end ? end + 4 : body;
                }

                if (!answer.AsSpan().StartsWith("HTTP/1.1 206 "u8) || !answer.AsSpan(body, RangeSize).SequenceEqual(expected.AsSpan(offset, RangeSize)))
                {
                    Assert.Fail($"wrong answer to the range at {offset}");
                }
            }
        }
    }
}
