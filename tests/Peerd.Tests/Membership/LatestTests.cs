using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class LatestTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task WatchAsync_Starting_TellsTheCurrentFirst()
    {
        var latest = new Latest<string>("first");
        latest.Publish("second");
        using var timeout = new CancellationTokenSource(Patience);

        await foreach (var value in latest.WatchAsync(timeout.Token))
        {
            Assert.Equal("second", value);
            break;
        }

        Assert.Equal("second", latest.Current);
    }

    [Fact]
    public async Task WatchAsync_SlowReader_SkipsToTheNewest()
    {
        var latest = new Latest<int>(0);
        using var timeout = new CancellationTokenSource(Patience);
        await using var reader = latest.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        await reader.MoveNextAsync();

        for (var i = 1; i <= 1000; i++)
        {
            latest.Publish(i);
        }

        await reader.MoveNextAsync();
        Assert.Equal(1000, reader.Current);
        var next = reader.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        latest.Publish(1001);
        Assert.True(await next);
    }

    [Fact]
    public async Task WatchAsync_EqualValuePublished_IsNotTold()
    {
        var latest = new Latest<string>("a");
        using var timeout = new CancellationTokenSource(Patience);
        await using var reader = latest.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        await reader.MoveNextAsync();

        latest.Publish(new string('a', 1));
        var next = reader.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        latest.Publish("b");
        Assert.True(await next);
        Assert.Equal("b", reader.Current);
    }

    [Fact]
    public async Task WatchAsync_ValueChangedAndBackWhileReaderSlept_IsNotToldTwice()
    {
        var latest = new Latest<string>("a");
        using var timeout = new CancellationTokenSource(Patience);
        await using var reader = latest.WatchAsync(timeout.Token).GetAsyncEnumerator(timeout.Token);
        await reader.MoveNextAsync();

        latest.Publish("b");
        latest.Publish("a");
        var next = reader.MoveNextAsync().AsTask();
        latest.Publish("c");

        Assert.True(await next);
        Assert.Equal("c", reader.Current);
    }

    [Fact]
    public async Task WatchAsync_Cancelled_EndsAtOnce()
    {
        var latest = new Latest<string>("a");
        using var cancellation = new CancellationTokenSource();
        await using var reader = latest.WatchAsync(cancellation.Token).GetAsyncEnumerator(TestContext.Current.CancellationToken);
        await reader.MoveNextAsync();
        var next = reader.MoveNextAsync().AsTask();

        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next.WaitAsync(Patience));
    }

    [Fact]
    public async Task WatchAsync_ManyReadersAndOneWriter_AllSeeRisingValuesAndTheLast()
    {
        const int Last = 20_000;
        var latest = new Latest<int>(0);
        using var timeout = new CancellationTokenSource(Patience);
        var readers = Enumerable.Range(0, 4).Select(_ => Task.Run(ReadToLastAsync)).ToArray();

        for (var i = 1; i <= Last; i++)
        {
            latest.Publish(i);
        }

        await Task.WhenAll(readers);

        async Task ReadToLastAsync()
        {
            var former = -1;
            await foreach (var value in latest.WatchAsync(timeout.Token))
            {
                Assert.True(value > former);
                former = value;
                if (value == Last)
                {
                    return;
                }
            }
        }
    }
}
