using CsCheck;

namespace Peerd.Tests.Simulation;

public sealed class FrameNetworkTests
{
    // Of time that is rounded to 100 ns.
    private const double Tolerance = 1e-5;

    [Fact]
    public void Send_OneFlow_ArrivesAtTheRateOfTheSlowerEndAndLater()
    {
        var transfers = new Transfers();
        var transfer = transfers.Send(transfers.AddNode(1000, 1000), transfers.AddNode(1000, 500), frames: 100);

        transfers.Run(10);

        Assert.Equal(100, transfer.Count);
        Assert.Equal(Transfers.Latency.TotalSeconds + 0.002, transfer.Arrivals[0], Tolerance);
        Assert.Equal(Transfers.Latency.TotalSeconds + 0.2, transfer.Arrivals[^1], Tolerance);
    }

    [Fact]
    public void Send_LastFrameOfTheContent_TakesItsOwnTime()
    {
        var transfers = new Transfers();
        var layout = new Peerd.Contracts.ContentLayout((64 << 10) + 1000);
        var node = transfers.AddNode(1, 1);
        var transfer = new Transfer(transfers.Timeline) { HasAll = true };
        transfer.Number = transfers.Network.Open(transfer, node, 0, Peerd.Simulation.Network.Flow.None, layout, 0, 2);
        transfers.Network.Wake(transfer.Number);

        transfers.Run(10);

        Assert.Equal((64 << 10) + 1000, transfers.Network.SentBy(node));
        Assert.Equal(1000.0 / (256 << 10), transfer.Arrivals[1] - transfer.Arrivals[0], Tolerance);
    }

    [Fact]
    public void Send_TwoFlowsOfOneSender_ShareItsUplink()
    {
        var transfers = new Transfers();
        var sender = transfers.AddNode(1000, 1000);
        var one = transfers.Send(sender, transfers.AddNode(1000, 1000));
        var other = transfers.Send(sender, transfers.AddNode(1000, 1000));

        transfers.Run(1);

        Assert.InRange(one.Count, 498, 500);
        Assert.InRange(other.Count, 498, 500);
    }

    [Fact]
    public void Send_OneOfTwoSendersIsGreedy_ItTakesTheDownlinkHalfOfTheTime()
    {
        var transfers = new Transfers();
        var greedy = transfers.AddNode(1000, 1000);
        var receiver = transfers.AddNode(1000, 1000);
        var other = transfers.AddNode(1000, 1000);
        transfers.Network.Greed = new Peerd.Simulation.Network.Greed(greedy, 0.9, Seed: 1);
        var ofGreedy = transfers.Send(greedy, receiver);
        var ofOther = transfers.Send(other, receiver);

        transfers.Run(60);

        // Frames in each half of a second: the link is shared evenly, or one has nine times as much as the other.
        var taken = Enumerable.Range(0, 120).Count(half => CountIn(ofOther, half) < 100 && CountIn(ofGreedy, half) > 400);
        var shared = Enumerable.Range(0, 120).Count(half => CountIn(ofOther, half) is > 245 and < 255 && CountIn(ofGreedy, half) is > 245 and < 255);
        Assert.InRange(taken, 20, 90);
        Assert.InRange(shared, 20, 90);

        static int CountIn(Transfer transfer, int half) => transfer.Arrivals.Count(arrival => (int)(2 * arrival) == half);
    }

    [Fact]
    public void Send_TwoFlowsToOneReceiver_ShareItsDownlink()
    {
        var transfers = new Transfers();
        var receiver = transfers.AddNode(1000, 1000);
        var one = transfers.Send(transfers.AddNode(1000, 1000), receiver);
        var other = transfers.Send(transfers.AddNode(1000, 1000), receiver);

        transfers.Run(1);

        Assert.InRange(one.Count, 497, 501);
        Assert.InRange(other.Count, 497, 501);
        Assert.InRange(one.Count + other.Count, 998, 1000);
    }

    [Fact]
    public void Send_ToASlowReceiver_DoesNotStallTheSendersOtherFlows()
    {
        var transfers = new Transfers();
        var sender = transfers.AddNode(1000, 1000);
        var slow = transfers.Send(sender, transfers.AddNode(1000, 10));
        var fast = transfers.Send(sender, transfers.AddNode(1000, 1000));

        transfers.Run(1);

        Assert.InRange(slow.Count, 8, 10);
        Assert.InRange(fast.Count, 980, 995);
    }

    [Fact]
    public void Send_ToASlowReceiver_SendsNoMoreAheadThanItsLineHolds()
    {
        var transfers = new Transfers();
        var sender = transfers.AddNode(1000, 1000);
        var transfer = transfers.Send(sender, transfers.AddNode(1000, 10));

        transfers.Run(1);

        var underWay = (transfers.Network.SentBy(sender) / Transfers.Layout.FrameSize) - transfer.Count;
        Assert.InRange(underWay, 1, 3);
    }

    [Fact]
    public void Send_OfABusyAndAnIdleSender_GivesBothTheirShareOfTheReceiver()
    {
        // The busy one has eight flows: an eighth of its uplink is what it can give, the idle one gives all the rest.
        var transfers = new Transfers();
        var busy = transfers.AddNode(1000, 1000);
        var receiver = transfers.AddNode(1000, 1000);
        for (var i = 0; i < 7; i++)
        {
            transfers.Send(busy, transfers.AddNode(1000, 1000));
        }

        var shared = transfers.Send(busy, receiver);
        var alone = transfers.Send(transfers.AddNode(1000, 1000), receiver);

        transfers.Run(4);

        Assert.InRange(shared.Count, 0.85 * 500, 500);
        Assert.InRange(alone.Count, 3490, 3600);
        Assert.InRange(shared.Count + alone.Count, 3990, 4000);
    }

    [Fact]
    public void Send_ThroughATrunk_SharesItsRate()
    {
        var transfers = new Transfers();
        var trunk = transfers.AddTrunk(100);
        var sender = transfers.AddNode(1000, 1000);
        var through = transfers.Send(sender, transfers.AddNode(1000, 1000), trunk: trunk);
        var alsoThrough = transfers.Send(transfers.AddNode(1000, 1000), transfers.AddNode(1000, 1000), trunk: trunk);
        var beside = transfers.Send(sender, transfers.AddNode(1000, 1000));

        transfers.Run(2);

        Assert.InRange(through.Count, 96, 102);
        Assert.InRange(alsoThrough.Count, 96, 102);
        Assert.InRange(beside.Count, 1880, 1905);
        Assert.Equal((through.Count + alsoThrough.Count) * (long)Transfers.Layout.FrameSize, transfers.Network.SentThrough(trunk), 4.0 * Transfers.Layout.FrameSize);
    }

    [Fact]
    public void Wake_WhenTheNextFrameIsHere_GoesOn()
    {
        var transfers = new Transfers();
        var transfer = transfers.Send(transfers.AddNode(1000, 1000), transfers.AddNode(1000, 1000), frames: 2, hasAll: false);
        Assert.Equal(0, transfer.StarvedFor);

        transfers.Timeline.After(TimeSpan.FromSeconds(1), () => transfer.Give(transfers.Network, 0));
        transfers.Timeline.After(TimeSpan.FromSeconds(2), () => transfer.Give(transfers.Network, 1));
        transfers.Run(3);

        Assert.Equal(1, transfer.StarvedFor);
        Assert.Equal([1.00125, 2.00125], transfer.Arrivals.Select(time => Math.Round(time, 5)));
    }

    [Fact]
    public void Close_WithFramesUnderWay_NothingMoreArrivesAndOthersGoOn()
    {
        var transfers = new Transfers();
        var sender = transfers.AddNode(1000, 1000);
        var closed = transfers.Send(sender, transfers.AddNode(1000, 1000));
        var other = transfers.Send(sender, transfers.AddNode(1000, 1000));
        transfers.Timeline.After(TimeSpan.FromSeconds(0.5), () => transfers.Network.Close(closed.Number));

        transfers.Run(1);

        Assert.InRange(closed.Count, 248, 250);
        Assert.InRange(other.Count, 746, 750);
    }

    [Fact]
    public void Finish_WithFramesUnderWay_TheyArriveAndNothingElse()
    {
        var transfers = new Transfers();
        var transfer = transfers.Send(transfers.AddNode(1000, 1000), transfers.AddNode(1000, 1000));
        transfers.Timeline.After(TimeSpan.FromSeconds(0.0105), () => Assert.True(transfers.Network.Finish(transfer.Number)));

        transfers.Run(1);

        Assert.Equal(11, transfer.Count);
    }

    [Fact]
    public void Close_WhileWaitingForAReceiver_GivesItsPlaceToOthers()
    {
        var transfers = new Transfers();
        var receiver = transfers.AddNode(1000, 100);
        var flows = Enumerable.Range(0, 4).Select(_ => transfers.Send(transfers.AddNode(1000, 1000), receiver)).ToArray();
        transfers.Timeline.After(TimeSpan.FromSeconds(1), () => Array.ForEach(flows[..3], flow => transfers.Network.Close(flow.Number)));

        transfers.Run(2);

        Assert.InRange(flows[3].Count, 115, 126);
    }

    [Fact]
    public void Open_AfterFlowsEnded_TakesTheirNumbers()
    {
        var transfers = new Transfers();
        var (sender, receiver) = (transfers.AddNode(1000, 1000), transfers.AddNode(1000, 1000));
        var first = transfers.Send(sender, receiver, frames: 3);
        transfers.Run(1);

        Assert.Equal(first.Number, transfers.Send(sender, receiver, frames: 3).Number);
        Assert.Equal(3, first.Count);
    }

    // A flow that waits for its receiver misses turns at its sender, so one among many may get less than its share, and another that much more.
    [Fact]
    public void Send_AnyFlows_GetAboutTheirMaxMinShare() =>
        (from senders in Gen.Double[100, 1000].Array[2, 6]
         from receivers in Gen.Double[100, 1000].Array[2, 6]
         from pairs in Gen.Select(Gen.Int[0, senders.Length - 1], Gen.Int[0, receivers.Length - 1]).Array[2, 16]
         select (senders, receivers, pairs)).Sample(
            plan =>
            {
                const double Seconds = 20;
                var transfers = new Transfers();
                var senders = Array.ConvertAll(plan.senders, rate => transfers.AddNode(rate, 1));
                var receivers = Array.ConvertAll(plan.receivers, rate => transfers.AddNode(1, rate));
                var flows = Array.ConvertAll(plan.pairs, pair => transfers.Send(senders[pair.Item1], receivers[pair.Item2]));

                transfers.Run(Seconds);

                var shares = MaxMin(plan.senders, plan.receivers, plan.pairs);
                Assert.All(flows.Zip(shares), pair => Assert.InRange(pair.First.Count / Seconds, 0.4 * pair.Second, 2 * pair.Second));
                Assert.InRange(flows.Sum(flow => flow.Count) / Seconds, 0.93 * shares.Sum(), 1.08 * shares.Sum());
            },
            iter: 100);

    /// <summary>Max-min by filling: each step raises all flows that no full link holds back.</summary>
    private static double[] MaxMin(double[] senders, double[] receivers, (int Sender, int Receiver)[] pairs)
    {
        var shares = new double[pairs.Length];
        var open = Enumerable.Range(0, pairs.Length).ToHashSet();
        while (open.Count > 0)
        {
            var step = senders.Select((rate, i) => Room(rate, flow => pairs[flow].Sender == i))
                .Concat(receivers.Select((rate, i) => Room(rate, flow => pairs[flow].Receiver == i)))
                .Min();
            foreach (var flow in open)
            {
                shares[flow] += step;
            }

            open.RemoveWhere(flow => IsFull(senders[pairs[flow].Sender], other => pairs[other].Sender == pairs[flow].Sender)
                || IsFull(receivers[pairs[flow].Receiver], other => pairs[other].Receiver == pairs[flow].Receiver));
        }

        return shares;

        double Room(double rate, Func<int, bool> isOn) =>
            open.Any(isOn) ? (rate - Enumerable.Range(0, pairs.Length).Where(isOn).Sum(flow => shares[flow])) / open.Count(isOn) : double.PositiveInfinity;

        bool IsFull(double rate, Func<int, bool> isOn) => rate - Enumerable.Range(0, pairs.Length).Where(isOn).Sum(flow => shares[flow]) < 1e-6 * rate;
    }
}
