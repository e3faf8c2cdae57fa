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
    public async Task Range_ReaderTakesNothing_KeepsItsSlotAndIsEndedAtTheDeadline()
    {
        using var setup = new RangeSetup(uploads: 1);
        var sample = TestMesh.NewSample(200_000);
        sample.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString() };
        var stuck = setup.Ask(range, isStuck: true);

        // That of the range, and that of its end.
        await DeadlinesAsync(setup, 2);
        Assert.Equal(RangeStatus.Busy, (await setup.Ask(range).EndAsync()).Status);
        Assert.False(stuck.Serving.IsCompleted);

        setup.Time.Advance(new MeshOptions().RangeDeadlineValue);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => stuck.Serving.WaitAsync(Wait.Longest));
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range).EndAsync()).Status);
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
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(new FetchRange { Id = 1, Digest = another.Digest.ToString() }, "other", other).EndAsync()).Status);

        await DeadlinesAsync(setup, stuck.Count + RangeServer.UploadsPerContent);
        setup.Time.Advance(new MeshOptions().RangeDeadlineValue);
        await Task.WhenAll(stuck.Select(stream => Assert.ThrowsAnyAsync<OperationCanceledException>(() => stream.Serving.WaitAsync(Wait.Longest))));
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range, "another", greedy).EndAsync()).Status);
    }

    // Over a real connection, whose memory is that of the whole node.
    [Fact]
    public async Task Range_ReadersOverANetworkTakeNothing_MemoryIsThatOfTheSlots()
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

            Assert.Equal(Uploads, calls.Count(call => call.ResponseStream.Current.Head is not null));
            Assert.InRange(((BlockPool)mesh.Node.Get<IMemoryPoolFactory<byte>>()).RentedBytes, 1, 2 * Uploads * 512 * 1024);
        }
        finally
        {
            calls.ForEach(call => call.Dispose());
        }
    }

    private static async Task DeadlinesAsync(RangeSetup setup, int count)
    {
        for (var i = 0; i < count; i++)
        {
            await setup.Time.ArmedAsync(new MeshOptions().RangeDeadlineValue);
        }
    }
}
