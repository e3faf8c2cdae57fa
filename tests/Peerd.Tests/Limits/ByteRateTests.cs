using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Limits;

public sealed class ByteRateTests : IDisposable
{
    private const int Block = 100;

    private static readonly Digest Large = Digest.OfSha256([1]);
    private static readonly Digest Small = Digest.OfSha256([2]);
    private static readonly Digest Other = Digest.OfSha256([3]);

    private readonly FakeTimeProvider _time = new();
    private readonly ByteRate _rate;
    private readonly List<string> _served = [];
    private readonly List<Task> _wanting = [];

    /// <summary>One block a second.</summary>
    public ByteRateTests() => _rate = new ByteRate(Block, Block, _time);

    public void Dispose() => _rate.Dispose();

    [Fact]
    public void Take_BucketIsNotEmpty_IsGivenAtOnceAndMoreThanItHasIsOwed()
    {
        Assert.True(TakeAsync(5 * Block).IsCompletedSuccessfully);
        Assert.False(TakeAsync(1).IsCompleted);
    }

    [Fact]
    public async Task Take_SeveralWait_StreamingIsServedFirstThenPullsThenWhatIsFetchedAhead()
    {
        await EmptyAsync();
        Wants("ahead", Urgency.Ahead, Other);
        Wants("pull 1", Urgency.Pull, Large);
        Wants("pull 2", Urgency.Pull, Large);
        Wants("streaming 1", Urgency.Streaming, Small);
        Wants("streaming 2", Urgency.Streaming, Small);

        await ServeAsync(5);

        Assert.Equal(["streaming 1", "streaming 2", "pull 1", "pull 2", "ahead"], _served);
    }

    [Fact]
    public async Task Take_LargeContentAsksManyTimes_SmallOneGetsEverySecondTurn()
    {
        await EmptyAsync();
        for (var i = 0; i < 8; i++)
        {
            Wants($"large {i}", Urgency.Pull, Large);
        }

        Wants("small 0", Urgency.Pull, Small);
        Wants("small 1", Urgency.Pull, Small);

        await ServeAsync(5);

        Assert.Equal(["large 0", "small 0", "large 1", "small 1", "large 2"], _served);
        Assert.Equal(5, _rate.Waiting);
    }

    // Blocks of large contents are larger.
    [Fact]
    public async Task Take_LargeContentHasLargerBlocks_SmallOneGetsAsManyBytes()
    {
        await EmptyAsync();
        for (var i = 0; i < 6; i++)
        {
            Wants($"large {i}", Urgency.Pull, Large, 4 * Block);
            Wants($"small {i}", Urgency.Pull, Small);
        }

        await ServeAsync(7);

        Assert.Equal(["large 0", "small 0", "small 1", "small 2", "small 3", "large 1", "small 4"], _served);
    }

    // One that always asks again only after it was served would otherwise always be new, and first.
    [Fact]
    public async Task Take_OneContentComesAgainAndAgain_GetsNoMoreThanTheOther()
    {
        await EmptyAsync();
        for (var i = 0; i < 4; i++)
        {
            Wants($"large {i}", Urgency.Pull, Large);
        }

        for (var i = 0; i < 4; i++)
        {
            Wants($"small {i}", Urgency.Pull, Small);
            await ServeAsync(2);
        }

        Assert.Equal(4, Served().Count(name => name.StartsWith("large", StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Take_StreamingComesWhileOthersWait_IsNext()
    {
        await EmptyAsync();
        Wants("pull 1", Urgency.Pull, Large);
        Wants("pull 2", Urgency.Pull, Large);
        await ServeAsync(1);
        Wants("streaming", Urgency.Streaming, Small);

        await ServeAsync(2);

        Assert.Equal(["pull 1", "streaming", "pull 2"], _served);
    }

    [Fact]
    public async Task Hasten_WhatWaitsToBeFetchedAhead_GoesFirstAndOtherContentsDoNot()
    {
        await EmptyAsync();
        using var cancel = new CancellationTokenSource();
        Wants("other ahead", Urgency.Ahead, Other);
        Wants("ahead", Urgency.Ahead, Small);
        var cancelled = _rate.TakeAsync(Block, Urgency.Ahead, Small, cancel.Token);
        Wants("pull", Urgency.Pull, Large);

        _rate.Hasten(Small);
        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await ServeAsync(3);
        Assert.Equal(["ahead", "pull", "other ahead"], _served);
        Assert.Equal(0, _rate.Waiting);
    }

    [Fact]
    public async Task Take_Cancelled_TakesNothingAndNoTurn()
    {
        await EmptyAsync();
        using var cancel = new CancellationTokenSource();
        var cancelled = _rate.TakeAsync(1000 * Block, Urgency.Streaming, Small, cancel.Token);
        Wants("pull", Urgency.Pull, Large);

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await ServeAsync(1);
        Assert.Equal(["pull"], _served);
        Assert.Equal(0, _rate.Waiting);
    }

    [Fact]
    public async Task Take_AlreadyCancelled_TakesNothing()
    {
        using var cancel = new CancellationTokenSource();
        await cancel.CancelAsync();

        Assert.True(_rate.TakeAsync(Block, Urgency.Pull, Large, cancel.Token).IsCanceled);
        Assert.True(TakeAsync(Block).IsCompletedSuccessfully);
        Assert.Equal(0, _rate.Waiting);
    }

    [Fact]
    public async Task GiveBack_SomebodyWaits_IsServedWithIt()
    {
        await TakeAsync(3 * Block);
        Wants("pull", Urgency.Pull, Large);

        _rate.GiveBack(3 * Block);

        await Wait.UntilAsync(() => Served().Count == 1, "who waits is served with what was given back");
    }

    [Fact]
    public async Task Take_OverALongTime_IsTheRate()
    {
        var taken = 0;
        using var stop = new CancellationTokenSource();
        var taking = TakeAllAsync();

        for (var second = 1; second <= 50; second++)
        {
            var before = second;
            await Wait.UntilAsync(() => Volatile.Read(ref taken) >= before && _rate.Waiting == 1, $"block {before} is taken, and the next one waited for");
            Assert.InRange(Volatile.Read(ref taken), second, second + 1);
            _time.Advance(TimeSpan.FromMilliseconds(1011));
        }

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => taking);

        async Task TakeAllAsync()
        {
            while (true)
            {
                await _rate.TakeAsync(Block, Urgency.Pull, Large, stop.Token);
                Interlocked.Increment(ref taken);
            }
        }
    }

    [Fact]
    public void Of_Nothing_IsNoLimit() => Assert.Null(ByteRate.Of(0, _time));

    private Task TakeAsync(int bytes) => _rate.TakeAsync(bytes, Urgency.Pull, Large, CancellationToken.None);

    private Task EmptyAsync() => TakeAsync(2 * Block);

    private void Wants(string name, Urgency urgency, Digest content, int bytes = Block) => _wanting.Add(WantAsync(name, urgency, content, bytes));

    private async Task WantAsync(string name, Urgency urgency, Digest content, int bytes)
    {
        await _rate.TakeAsync(bytes, urgency, content, CancellationToken.None);
        lock (_served)
        {
            _served.Add(name);
        }
    }

    private List<string> Served()
    {
        lock (_served)
        {
            return [.. _served];
        }
    }

    /// <summary>Lets time pass until so many more were served, one at a time.</summary>
    private async Task ServeAsync(int count)
    {
        for (var i = 0; i < count; i++)
        {
            var waiting = _rate.Waiting;
            var before = Served().Count;
            for (var step = 0; _rate.Waiting == waiting; step++)
            {
                Assert.True(step < 1000, "nobody is served");
                _time.Advance(TimeSpan.FromMilliseconds(10));
            }

            await Wait.UntilAsync(() => Served().Count == before + 1, "one more is served");
        }
    }
}
