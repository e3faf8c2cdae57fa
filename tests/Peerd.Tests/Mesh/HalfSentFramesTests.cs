using System.Buffers;
using System.Diagnostics.Metrics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Mesh;

/// <summary>Connections that begin what they do not end: their preface, or a frame.</summary>
public sealed class HalfSentFramesTests
{
    private const int BlockBytes = 64 * 1024;
    private const int MostKept = 512;

    private static readonly RingSource NoRing = new(new TestMembership(MemberList.Empty), TimeProvider.System, NullLogger<RingSource>.Instance);

    [Theory]
    [InlineData(1)]
    [InlineData(30)]
    public async Task Caller_BeginsAPrefaceOrAFrameOnEachOfManyConnections_LittleIsHeldForThemAndAPullGoesOn(int bytes)
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Memory=64MiB"]);
        var held = mesh.Node.Get<HeldMemory>();
        using var refusals = new MetricCollector<long>(mesh.Node.Get<IMeterFactory>(), "Peerd", "peerd.mesh.refused");
        byte[] begun = [.. RawHttp2.Preface, .. RawHttp2.Frame(type: 4, flags: 0, stream: 0, [])];
        var sockets = new List<Socket>();
        try
        {
            for (var i = 0; i < 1200; i++)
            {
                var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
                sockets.Add(socket);
                await socket.ConnectAsync(mesh.Node.MeshEndPoint, TestContext.Current.CancellationToken);
                await socket.SendAsync(begun.AsMemory(0, bytes), TestContext.Current.CancellationToken);
            }

            // A quarter of what may be held, of which each connection keeps a block.
            await Wait.UntilAsync(() => refusals.GetMeasurementSnapshot().Sum(refusal => refusal.Value) >= 1200 - 256, "connections that keep too much are ended");
            await Wait.UntilAsync(() => sockets.Count(socket => !IsClosed(socket)) <= 256, "and closed");
            await Wait.UntilAsync(() => held.Bytes < 48 * 1024 * 1024, "what is held for them is little");
            var sample = mesh.BlobOwnedBy(700_000, mesh.Node.Name);
            using var answer = await mesh.Node.SendAsync(sample.Digest);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        }
        finally
        {
            sockets.ForEach(socket => socket.Dispose());
        }
    }

    [Fact]
    public async Task EndLate_APrefaceOrAFrameTakesTooLong_ItsConnectionEndsAndNoOther()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var time = new FakeTimeProvider();
        using var messages = New(meters, time);
        var (silent, preface, frame, whole) = (new Connection(messages, 1), new Connection(messages, 1), new Connection(messages, 1), new Connection(messages, 1));
        await preface.SendAsync(RawHttp2.Preface.AsMemory(0, 23));
        await frame.SendAsync(RawHttp2.Preface);
        await whole.SendAsync(RawHttp2.Preface);
        time.Advance(HalfSentMessages.FramePatience / 2);
        await frame.SendAsync(RawHttp2.Frame(0, 0, 1, new byte[300]).AsMemory(0, 308));
        await whole.SendAsync(RawHttp2.Frame(0, 0, 1, new byte[300]));
        Assert.Equal(2 * BlockBytes, messages.Bytes);

        time.Advance(HalfSentMessages.FramePatience / 2);
        messages.EndLate();
        Assert.Equal((true, true, false, false), (silent.IsEnded, preface.IsEnded, frame.IsEnded, whole.IsEnded));
        Assert.Equal(BlockBytes, messages.Bytes);

        time.Advance(HalfSentMessages.FramePatience / 2);
        messages.EndLate();
        Assert.Equal((true, false), (frame.IsEnded, whole.IsEnded));
        Assert.Equal(0, messages.Bytes);
    }

    [Fact]
    public async Task AdvanceTo_FramesInAnyParts_NothingIsKeptBetweenThem()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var messages = New(meters, new FakeTimeProvider());
        var connection = new Connection(messages, 1);
        byte[][] frames = [RawHttp2.Preface, RawHttp2.Frame(4, 0, 0, []), RawHttp2.Frame(4, 0, 0, new byte[6]), RawHttp2.Frame(0, 0, 1, new byte[70_000]), RawHttp2.Frame(6, 0, 0, new byte[8])];
        foreach (var frame in frames)
        {
            foreach (var part in frame.Chunk(frame.Length < 100 ? 1 : 7777).SkipLast(1))
            {
                await connection.SendAsync(part);
                Assert.Equal(BlockBytes, messages.Bytes);
            }

            await connection.SendAsync(frame.AsMemory(frame.Length - (((frame.Length - 1) % (frame.Length < 100 ? 1 : 7777)) + 1)));
            Assert.Equal(0, messages.Bytes);
        }

        await connection.SendAsync(frames.Skip(1).SelectMany(frame => frame).ToArray());
        Assert.Equal(0, messages.Bytes);
        connection.Dispose();
    }

    [Fact]
    public async Task AdvanceTo_OneAddressKeepsMost_ItLosesItsConnectionsAndAnotherDoesNot()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var messages = New(meters, new FakeTimeProvider());
        var honest = new Connection(messages, 1);
        await honest.SendAsync(RawHttp2.Preface.AsMemory(0, 5));
        var greedy = Enumerable.Range(0, 2 * MostKept).Select(_ => new Connection(messages, 2)).ToList();
        foreach (var connection in greedy)
        {
            await connection.SendAsync(RawHttp2.Preface.AsMemory(0, 1));
        }

        Assert.False(honest.IsEnded);
        Assert.Equal(MostKept - 1, greedy.Count(connection => !connection.IsEnded));
    }

    private static HalfSentMessages New(ServiceProvider meters, TimeProvider time) =>
        new(Options.Create(new LimitOptions()), NoRing, new MeshMetrics(meters.GetRequiredService<IMeterFactory>()), time);

    private static bool IsClosed(Socket socket)
    {
        try
        {
            var received = new byte[1024];
            while (socket.Available > 0)
            {
                socket.Receive(received);
            }

            return socket.Poll(0, SelectMode.SelectRead) && socket.Available == 0;
        }
        catch (SocketException)
        {
            return true;
        }
    }

    /// <summary>Sends on a connection, and reads there as the server does.</summary>
    private sealed class Connection : IDuplexPipe, IDisposable
    {
        private readonly Pipe _pipe = new(new PipeOptions(pauseWriterThreshold: 0));
        private readonly HalfSentFrames _frames;

        public Connection(HalfSentMessages messages, byte address) => _frames = messages.WatchFrames(this, new IPAddress([10, 0, 0, address]), () => IsEnded = true);

        public bool IsEnded { get; private set; }

        public PipeReader Input => _pipe.Reader;

        public PipeWriter Output => _pipe.Writer;

        public async Task SendAsync(ReadOnlyMemory<byte> bytes)
        {
            _ = await _frames.Output.WriteAsync(bytes);
            var read = await _frames.ReadAsync();
            _frames.AdvanceTo(read.Buffer.End);
        }

        public void Dispose() => _frames.Dispose();
    }
}
