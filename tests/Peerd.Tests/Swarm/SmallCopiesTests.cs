using Grpc.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.Contracts.V1;
using Peerd.Node.Membership;
using Peerd.Node.Ring;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Swarm;

/// <summary>Whose the copies are that a node keeps for others, seen from which of them go first.</summary>
public sealed class SmallCopiesTests
{
    private const int Capacity = 16 * 1024 * 1024;

    /// <summary>Four are all that there is room for.</summary>
    private const int Size = Capacity / SmallCopies.ShareOfCache / 4;

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Announcer_WithdrawsWhatAnotherAnnouncesToo_TheCopyCountsAsThatOfTheOther(bool isWithdrawn)
    {
        await using var mesh = await TestMesh.StartAsync(peers: 2, settings: [$"--Peerd:Cache:Capacity={Capacity}"]);
        var contents = Enumerable.Range(0, 5).Select(_ => mesh.UnknownOwnedBy(Size, mesh.Node.Name)).ToList();
        foreach (var peer in mesh.Peers)
        {
            peer.Answer = async (range, answers, _) =>
            {
                foreach (var answer in FakePeer.Honest(range, contents.Single(content => content.Digest.ToString() == range.Digest)))
                {
                    await answers.WriteAsync(answer);
                }
            };
        }

        var (first, second) = (mesh.Peers[0], mesh.Peers[1]);
        using var one = await first.AnnounceAsync(mesh.Node, contents[0]);
        await CopiedAsync(contents[0]);
        using var other = await second.AnnounceAsync(mesh.Node, contents[0]);
        if (isWithdrawn)
        {
            await SayAsync(one, new AnnounceRequest { Sequence = 2, Withdrawn = { contents[0].Digest.ToString() } });
        }

        for (var i = 1; i <= 3; i++)
        {
            await SayAsync(other, new AnnounceRequest { Sequence = (ulong)i + 1, Contents = { Whole(contents[i]) } });
            await CopiedAsync(contents[i]);
        }

        await SayAsync(one, new AnnounceRequest { Sequence = 3, Contents = { Whole(contents[4]) } });
        await CopiedAsync(contents[4]);

        // The oldest of who has most.
        await Wait.UntilAsync(() => contents.Count(IsHere) == 4, "one has to go");
        Assert.False(IsHere(contents[isWithdrawn ? 0 : 1]));

        bool IsHere(SampleContent content) => mesh.Node.Cache.TryPeek(content.Digest, out _);

        Task CopiedAsync(SampleContent content) =>
            Wait.UntilAsync(() => mesh.Node.Cache.TryPeek(content.Digest, out var copy) && copy.IsVerified && mesh.Node.Downloads.Count == 0, "it is copied");
    }

    [Fact]
    public async Task Stop_ACopyFailsByWhatNobodyForesaw_EndsAsCancelled()
    {
        await using var mesh = await TestMesh.StartAsync(peers: 1);
        var node = mesh.Node;
        var time = new LastTime();
        using var copies = new SmallCopies(node.Directory, node.Downloads, node.Cache, node.Get<RingSource>(), node.Get<NodeIdentity>(), time, NullLogger<SmallCopies>.Instance);
        time.Stop = () => _ = copies.StopAsync(CancellationToken.None);
        await copies.StartAsync(CancellationToken.None);

        using var announcing = await mesh.Peer.AnnounceAsync(node, mesh.UnknownOwnedBy(Size, node.Name));

        var running = copies.ExecuteTask!;
        await Wait.UntilAsync(() => running.IsCompleted, "it has stopped");
        Assert.True(running.IsCanceled, $"{running.Status}: {running.Exception}");
    }

    private static Availability Whole(SampleContent content) => new() { Digest = content.Digest.ToString(), Size = content.Bytes.Length, Complete = true };

    private static async Task SayAsync(AsyncDuplexStreamingCall<AnnounceRequest, AnnounceResponse> call, AnnounceRequest said)
    {
        await call.RequestStream.WriteAsync(said);
        Assert.True(await call.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(said.Sequence, call.ResponseStream.Current.Acknowledged);
    }

    /// <summary>The system's clock, on which nobody can wait: whoever tries stops what it is told to, and fails.</summary>
    private sealed class LastTime : TimeProvider
    {
        public Action Stop { get; set; } = static () => { };

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            Stop();
            throw new InvalidOperationException("a fault of this node");
        }
    }
}
