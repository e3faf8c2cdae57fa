using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Content;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Swarm;

/// <summary>Who goes before whom, where bandwidth is limited, when the beginning of a content is read with its size.</summary>
public sealed class OriginProbeTests : IDisposable
{
    private const int Size = 8 << 20;
    private readonly FakeTimeProvider _time = new();
    private readonly ByteRate _rate;

    public OriginProbeTests() => _rate = new ByteRate(perSecond: 10, burst: 10, _time);

    public void Dispose() => _rate.Dispose();

    [Fact]
    public async Task AskForSize_AContainerWaits_ItsBytesGoBeforeThoseOfPulls()
    {
        var noted = new ConcurrentQueue<OriginReference>();
        await using var mesh = await StartAsync(noted);
        var sample = mesh.Blob(Size);
        using var held = mesh.Registry.HoldBodies();
        var origin = OriginReference.Of(new GivenUrl(new Uri($"{mesh.Registry.Url}/v2/r/blobs/{sample.Digest}"), authorization: null), sample.Digest.ToString());
        var streams = mesh.Node.Get<BlobStreams>();
        var stream = await streams.OpenAsync(sample.Digest, origin, TestContext.Current.CancellationToken);
        Assert.NotNull(stream);
        var probe = Assert.Single(noted);
        Assert.Equal(Urgency.Ahead, probe.Urgency!());

        // The second half of what is read with the size, which is held.
        var reading = stream.EnsureAsync(new ByteRange(ProtocolConstants.ProbeBytes - 1000, 1000), origin, TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken).AsTask();
        await Wait.UntilAsync(() => probe.Urgency() == Urgency.Streaming, "the container waits");
        await _rate.TakeAsync(20, Urgency.Pull, default, CancellationToken.None);
        var pull = _rate.TakeAsync(10, Urgency.Pull, TestMesh.NewSample(1).Digest, CancellationToken.None);
        var probed = new OriginPace(_rate, probe.Urgency, sample.Digest).TakeAsync(10, CancellationToken.None);
        Assert.Equal(2, _rate.Waiting);
        while (_rate.Waiting == 2)
        {
            _time.Advance(TimeSpan.FromMilliseconds(100));
        }

        await probed.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);
        Assert.False(pull.IsCompleted);
        held.Dispose();
        await Wait.UntilAsync(() => probe.Urgency() == Urgency.Ahead, "what the container waited for is here");
        await reading;
        streams.Close(stream);
    }

    [Fact]
    public async Task AskForSize_AllIsPulled_IsAPull()
    {
        var noted = new ConcurrentQueue<OriginReference>();
        await using var mesh = await StartAsync(noted);
        var sample = mesh.Blob(Size);
        using var held = mesh.Registry.HoldBodies();

        var pulling = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => !noted.IsEmpty, "the origin is asked");

        Assert.True(noted.TryPeek(out var probe));
        Assert.Equal(Urgency.Pull, probe.Urgency!());
        held.Dispose();
        (await pulling).ShouldBe(sample.Bytes);
        Assert.Equal(Urgency.Pull, probe.Urgency());
    }

    private static Task<TestMesh> StartAsync(ConcurrentQueue<OriginReference> noted) => TestMesh.StartAsync(
        settings: ["--Peerd:Blobs:LearnedOrder=false", "--Peerd:Blobs:ReadAhead=0"],
        customize: services => services.AddSingleton<IOrigin>(provider => new NotedOrigin(ActivatorUtilities.CreateInstance<Origins>(provider), noted)));

    /// <summary>Notes what is read.</summary>
    private sealed class NotedOrigin(IOrigin origin, ConcurrentQueue<OriginReference> noted) : IOrigin
    {
        public bool Serves(string registry) => origin.Serves(registry);

        public bool Relays(string registry) => origin.Relays(registry);

        public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken)
        {
            noted.Enqueue(reference);
            return origin.ReadAsync(reference, range, cancellationToken);
        }

        public Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken) => origin.StatAsync(reference, cancellationToken);
    }
}
