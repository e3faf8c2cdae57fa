using System.Diagnostics.Metrics;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
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

/// <summary>Streams on which a message begins and does not end: its bytes are kept until it does.</summary>
public sealed class HalfSentMessagesTests
{
    private const int Streams = 4000;
    private const int PerConnection = 250;

    // Of 64 KiB each.
    private const int MostKept = 512;

    private static readonly RingSource NoRing = new(new TestMembership(MemberList.Empty), TimeProvider.System, NullLogger<RingSource>.Instance);

    [Fact]
    public async Task Caller_BeginsAMessageOnEachOfManyStreams_LittleIsHeldForThemAndAPullGoesOn()
    {
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Limits:Memory=192MiB"]);
        var held = mesh.Node.Get<HeldMemory>();
        using var refusals = new MetricCollector<long>(mesh.Node.Get<IMeterFactory>(), "Peerd", "peerd.mesh.refused");
        using var stop = new CancellationTokenSource();
        var begun = new List<HalfSent>();
        var calls = new List<Task>();
        using var clients = new Clients(Streams / PerConnection, mesh.Node.MeshEndPoint);
        for (var i = 0; i < Streams; i++)
        {
            var message = new HalfSent();
            begun.Add(message);
            calls.Add(SendAsync(clients[i / PerConnection], message, stop.Token));
        }

        await Wait.UntilAsync(() => begun.TrueForAll(message => message.IsSent), "all have begun a message");
        await Wait.UntilAsync(() => refusals.GetMeasurementSnapshot().Sum(refusal => refusal.Value) >= Streams - MostKept, "the node has looked at all of them but those that it may keep");
        await Wait.UntilAsync(() => held.Bytes < 64 * 1024 * 1024, "what is held for them is little");

        var sample = mesh.BlobOwnedBy(700_000, mesh.Node.Name);
        using var answer = await mesh.Node.SendAsync(sample.Digest);
        Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
        await stop.CancelAsync();
        await Task.WhenAll(calls);
    }

    [Fact]
    public async Task EndLate_AMessageTakesTooLong_ItsStreamEndsAndNoOther()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var time = new FakeTimeProvider();
        using var messages = New(meters, time);
        var (late, soon, whole) = (new Sender(messages, 1), new Sender(messages, 1), new Sender(messages, 1));
        await late.SendAsync(1, isWhole: false);
        await whole.SendAsync(1, isWhole: false);
        time.Advance(HalfSentMessages.Patience - TimeSpan.FromSeconds(1));
        await soon.SendAsync(1, isWhole: false);
        await whole.SendAsync(1, isWhole: true);
        Assert.Equal(2 * 64 * 1024, messages.Bytes);
        messages.EndLate();
        Assert.False(late.IsEnded);

        // Another byte is no end of the message.
        time.Advance(TimeSpan.FromSeconds(1));
        await late.SendAsync(1, isWhole: false);
        await whole.SendAsync(1, isWhole: false);
        messages.EndLate();

        Assert.Equal((true, false, false), (late.IsEnded, soon.IsEnded, whole.IsEnded));
        soon.Dispose();
        whole.Dispose();
        Assert.Equal(0, messages.Bytes);
    }

    [Fact]
    public async Task AdvanceTo_OneAddressKeepsMost_ItLosesItsStreamsAndAnotherDoesNot()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var messages = New(meters, new FakeTimeProvider());
        var honest = new Sender(messages, 1);
        await honest.SendAsync(1024 * 1024, isWhole: false);
        var greedy = new List<Sender>();
        for (var i = 0; i < 1000; i++)
        {
            greedy.Add(new Sender(messages, 2));
            await greedy[^1].SendAsync(1, isWhole: false);
        }

        Assert.False(honest.IsEnded);
        Assert.InRange(greedy.Count(sender => !sender.IsEnded), 400, MostKept);
        Assert.InRange(messages.Bytes, 1, 32 * 1024 * 1024);

        // What was not looked at is counted elsewhere: the sender is held back.
        await honest.SendAsync(1024 * 1024, isWhole: true);
        Assert.False(honest.IsEnded);
    }

    [Fact]
    public async Task EndLate_OneAbortEndsTheRequestOfAnother_ThatOneIsNotAborted()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var time = new FakeTimeProvider();
        using var messages = New(meters, time);
        var (first, second) = (new Sender(messages, 1), new Sender(messages, 1));
        first.Aborted = second.Dispose;
        second.Aborted = first.Dispose;
        await first.SendAsync(1, isWhole: false);
        await second.SendAsync(1, isWhole: false);
        time.Advance(HalfSentMessages.Patience);

        messages.EndLate();

        Assert.NotEqual(first.IsEnded, second.IsEnded);
    }

    [Fact]
    public async Task EndLate_AnAbortFails_TheOthersEndAllTheSame()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        var time = new FakeTimeProvider();
        using var messages = New(meters, time);
        var senders = Enumerable.Range(0, 3).Select(_ => new Sender(messages, 1) { Aborted = () => throw new ObjectDisposedException("connection") }).ToList();
        foreach (var sender in senders)
        {
            await sender.SendAsync(1, isWhole: false);
        }

        time.Advance(HalfSentMessages.Patience);
        messages.EndLate();

        Assert.All(senders, sender => Assert.True(sender.IsEnded));
    }

    [Fact]
    public async Task AdvanceTo_OneNetworkKeepsMostWithManyAddresses_ItLosesItsStreamsAndAMemberInItDoesNot()
    {
        using var meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        using var rings = new RingSource(
            new TestMembership(new MemberList([new Member("other", new DnsEndPoint("2001:db8:0:2::a", 1), string.Empty)])), TimeProvider.System, NullLogger<RingSource>.Instance);
        await rings.StartAsync(TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => rings.Current.Count == 1, "the list is known");
        using var messages = New(meters, new FakeTimeProvider(), rings);
        var honest = new Sender(messages, IPAddress.Parse("2001:db8:0:1::1"));
        var member = new Sender(messages, IPAddress.Parse("2001:db8:0:2::a"));
        await honest.SendAsync(1024 * 1024, isWhole: false);
        await member.SendAsync(1024 * 1024, isWhole: false);
        for (var i = 1; i < 1000; i++)
        {
            await new Sender(messages, IPAddress.Parse($"2001:db8:0:2::{i}")).SendAsync(1, isWhole: false);
        }

        Assert.Equal((false, false), (honest.IsEnded, member.IsEnded));
        await rings.StopAsync(CancellationToken.None);
    }

    private static HalfSentMessages New(ServiceProvider meters, TimeProvider time, RingSource? rings = null) =>
        new(Options.Create(new LimitOptions()), rings ?? NoRing, new MeshMetrics(meters.GetRequiredService<IMeterFactory>()), time);

    /// <summary>Sends on one stream, and reads there as gRPC does.</summary>
    private sealed class Sender(HalfSentMessages messages, IPAddress address) : IDisposable
    {
        private readonly Pipe _pipe = new(new PipeOptions(minimumSegmentSize: 64 * 1024, pauseWriterThreshold: 0));
        private HalfSentMessages.Body? _body;

        public Sender(HalfSentMessages messages, byte address)
            : this(messages, new IPAddress([10, 0, 0, address]))
        {
        }

        public bool IsEnded { get; private set; }

        public Action? Aborted { get; set; }

        public async Task SendAsync(int bytes, bool isWhole)
        {
            _body ??= messages.Watch(_pipe.Reader, address, Abort);
            await _pipe.Writer.WriteAsync(new byte[bytes]);
            var read = await _body.ReadAsync();
            _body.AdvanceTo(isWhole ? read.Buffer.End : read.Buffer.Start, read.Buffer.End);
        }

        public void Dispose() => _body?.Dispose();

        private void Abort()
        {
            IsEnded = true;
            Aborted?.Invoke();
        }
    }

    private static async Task SendAsync(HttpClient client, HalfSent message, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri("/peerd.v1.PeerService/Lookup", UriKind.Relative))
        {
            Version = HttpVersion.Version20,
            VersionPolicy = HttpVersionPolicy.RequestVersionExact,
            Content = message,
        };
        try
        {
            using var response = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
            await response.Content.ReadAsByteArrayAsync(cancellationToken);
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            // The stream was ended, by the one or the other.
        }
    }

    /// <summary>The head of a message of 256 bytes and the first of them, and no more.</summary>
    private sealed class HalfSent : HttpContent
    {
        private volatile bool _isSent;

        public HalfSent() => Headers.ContentType = new MediaTypeHeaderValue("application/grpc");

        public bool IsSent => _isSent;

        protected override bool TryComputeLength(out long length)
        {
            length = 0;
            return false;
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            try
            {
                await stream.WriteAsync(new byte[] { 0, 0, 0, 1, 0, 10 }, cancellationToken);
                await stream.FlushAsync(cancellationToken);
            }
            finally
            {
                _isSent = true;
            }

            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        }
    }

    private sealed class Clients(int count, IPEndPoint node) : IDisposable
    {
        private readonly List<HttpClient> _clients = [.. Enumerable.Range(0, count).Select(_ => new HttpClient { BaseAddress = new Uri($"http://{node}"), Timeout = Wait.Longest })];

        public HttpClient this[int index] => _clients[index];

        public void Dispose() => _clients.ForEach(client => client.Dispose());
    }
}
