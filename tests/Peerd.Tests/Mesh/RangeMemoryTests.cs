using System.Net;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Connections;
using Peerd.Contracts.V1;
using Peerd.Node.Hosting;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>Ranges that peers ask for while this node holds as many bytes as it may, and what ranges themselves make it hold.</summary>
public sealed class RangeMemoryTests
{
    private static readonly TimeSpan Deadline = new MeshOptions().RangeDeadlineValue;
    private static readonly TimeSpan LastMoment = Deadline + RangeServer.TimeForEnd;

    // Who asks when memory is short does better elsewhere; when there is room again he is served.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Range_TooMuchIsHeld_IsBusyUntilThereIsRoom(bool isUrgent)
    {
        var held = 1L << 40;
        using var setup = new RangeSetup(limits: new LimitOptions { Memory = "64MiB" }, held: () => Volatile.Read(ref held));
        var sample = TestMesh.NewSample(300_000);
        sample.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString(), Urgent = isUrgent };

        var end = await setup.Ask(range).EndAsync();
        Assert.Equal((RangeStatus.Busy, "other"), (end.Status, Assert.Single(end.Holders)));

        Volatile.Write(ref held, 0);
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range).EndAsync()).Status);
    }

    // The end and what was written before wait in memory as long as the reader takes nothing.
    [Fact]
    public async Task Range_ReadersTakeNothing_KeepAPlaceAndAreEndedAtTheDeadline()
    {
        using var setup = new RangeSetup(uploads: 1);
        var sample = TestMesh.NewSample(200_000);
        sample.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString() };
        var stuck = new List<ServedStream>();

        // The first one waits for its end to be taken, the second one has the place of those that are served.
        for (var i = 0; i < 2; i++)
        {
            stuck.Add(setup.Ask(range, isStuck: true));
            await EndsAsync(setup, 1);
        }

        Assert.Equal(RangeStatus.Busy, (await setup.Ask(range).EndAsync()).Status);
        Assert.All(stuck, stream => Assert.False(stream.Serving.IsCompleted));

        setup.Time.Advance(LastMoment);
        await Task.WhenAll(stuck.Select(stream => Assert.ThrowsAnyAsync<OperationCanceledException>(() => stream.Serving.WaitAsync(Wait.Longest))));
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range).EndAsync()).Status);
    }

    // The reader may have all bytes before its end has gone out, and the next one is sent here by then.
    [Fact]
    public async Task Range_EndsAreOnTheirWay_AsManyFindThePlaceFree()
    {
        using var setup = new RangeSetup();
        var sample = TestMesh.NewSample(1000);
        sample.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString() };
        for (var i = 0; i < RangeServer.UploadsPerContent; i++)
        {
            setup.Ask(range, isStuck: true);
        }

        await EndsAsync(setup, RangeServer.UploadsPerContent);

        for (var i = 0; i < RangeServer.UploadsPerContent; i++)
        {
            Assert.Equal(RangeStatus.Complete, (await setup.Ask(range).EndAsync()).Status);
        }
    }

    [Fact]
    public async Task Range_WaitedUntilTheDeadlineAndNobodyTakesTheEnd_IsEndedSoonAfterIt()
    {
        using var setup = new RangeSetup();
        setup.Incoming.Downloads = true;
        var stuck = setup.Ask(new FetchRange { Id = 1, Digest = TestMesh.NewSample(1000).Digest.ToString(), Wait = true }, isStuck: true);

        await setup.Time.PassAsync(Deadline);
        await setup.Time.ArmedAsync(RangeServer.TimeForEnd);
        setup.Time.Advance(RangeServer.TimeForEnd);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stuck.Serving.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task Range_AskedForBehindOneThatTakesUntilTheDeadline_EndsWithIt()
    {
        using var setup = new RangeSetup();
        setup.Incoming.Downloads = true;
        var range = new FetchRange { Id = 1, Digest = TestMesh.NewSample(1000).Digest.ToString(), Wait = true };
        var stream = setup.Ask(range, behind: [.. Enumerable.Range(2, 3).Select(id => new FetchRange(range) { Id = (uint)id })]);

        await setup.Time.PassAsync(Deadline);

        for (var i = 0; i < 4; i++)
        {
            Assert.Equal(RangeStatus.DeadlineExceeded, (await stream.EndAsync()).Status);
        }
    }

    [Fact]
    public async Task Range_MoreOfOneAddressThatTakesNothingThanThereMayBe_IsResourceExhaustedAndOthersAreServed()
    {
        using var setup = new RangeSetup();
        var (sample, another) = (TestMesh.NewSample(1000), TestMesh.NewSample(1000));
        sample.WriteAll(setup.Cache);
        another.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString() };
        var (greedy, other) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        var stuck = Enumerable.Range(0, RangeServer.Pending / 2).Select(i => setup.Ask(range, $"name-{i}", greedy, isStuck: true)).ToList();

        var refused = await Assert.ThrowsAsync<RpcException>(() => setup.Ask(range, "another", greedy).Serving.WaitAsync(Wait.Longest));
        Assert.Equal(StatusCode.ResourceExhausted, refused.StatusCode);
        Assert.NotNull(refused.Trailers.Get(RangeServer.BusyTrailer));
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(new FetchRange { Id = 1, Digest = another.Digest.ToString() }, "other", other).EndAsync()).Status);

        await EndsAsync(setup, stuck.Count + 1);
        setup.Time.Advance(LastMoment);
        await Task.WhenAll(stuck.Select(stream => Assert.ThrowsAnyAsync<OperationCanceledException>(() => stream.Serving.WaitAsync(Wait.Longest))));
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range, "another", greedy).EndAsync()).Status);
    }

    // Over a real connection, whose memory is that of the whole node.
    [Fact]
    public async Task Range_ReadersOverANetworkTakeNothing_MemoryIsThatOfThePlaces()
    {
        const int Uploads = 4;
        const int Streams = 100;

        // All of it waits for the end, to go out with it.
        const int Size = 250_000;
        await using var mesh = await TestMesh.StartAsync(settings: [$"--Peerd:Mesh:Uploads={Uploads}"]);
        var sample = mesh.Blob(Size);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        using var channel = GrpcChannel.ForAddress($"http://{mesh.Node.MeshEndPoint}", new GrpcChannelOptions { HttpHandler = new SocketsHttpHandler { InitialHttp2StreamWindowSize = 65535 } });
        var calls = new List<AsyncDuplexStreamingCall<FetchRangeRequest, FetchRangeResponse>>();
        try
        {
            for (var i = 0; i < Streams; i++)
            {
                var call = new PeerService.PeerServiceClient(channel).FetchRange();
                calls.Add(call);
                await call.RequestStream.WriteAsync(new FetchRangeRequest { Range = new FetchRange { Id = 1, Digest = sample.Digest.ToString() } }, TestContext.Current.CancellationToken);
            }

            // The first word of each answer, and nothing more.
            Assert.All(await Task.WhenAll(calls.Select(call => call.ResponseStream.MoveNext(CancellationToken.None).WaitAsync(Wait.Longest))), Assert.True);

            // As many that are served, and as many whose end waits to be taken, as far as those came soon enough.
            Assert.InRange(calls.Count(call => call.ResponseStream.Current.Head is not null), Uploads, 2 * Uploads);
            Assert.InRange(((BlockPool)mesh.Node.Get<IMemoryPoolFactory<byte>>()).RentedBytes, 1, 2 * Uploads * 512 * 1024);
        }
        finally
        {
            calls.ForEach(call => call.Dispose());
        }
    }

    private static async Task EndsAsync(RangeSetup setup, int count)
    {
        for (var i = 0; i < count; i++)
        {
            await setup.Time.ArmedAsync(LastMoment);
        }
    }
}
