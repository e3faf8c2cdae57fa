using System.IO.Pipelines;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Peerd.Node.Limits;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Origin;

public sealed class OriginBodyTests
{
    private static readonly TimeSpan Idle = TimeSpan.FromSeconds(15);
    private readonly FakeTimeProvider _time = new();
    private readonly Pipe _pipe = new();

    [Fact]
    public async Task ReadAsync_ExactEndsEarly_Throws()
    {
        using var body = Open().Exactly(10);
        await _pipe.Writer.WriteAsync(new byte[9]);
        await _pipe.Writer.CompleteAsync();

        var thrown = await Assert.ThrowsAsync<IOException>(() => body.CopyToAsync(Stream.Null));

        Assert.Contains("ended 1 bytes early", thrown.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100)]
    public async Task ReadAsync_MoreComesThanAsked_IsNeverGiven(int bufferSize)
    {
        using var body = Open().Exactly(10);
        await _pipe.Writer.WriteAsync(new byte[50]);

        using var read = new MemoryStream();
        await body.CopyToAsync(read, bufferSize);

        Assert.Equal(10, read.Length);
    }

    [Fact]
    public async Task ReadAsync_Idle_ThrowsAndANewReadHasItsOwnTime()
    {
        using var body = Open().Exactly(10);
        var buffer = new byte[10];
        for (var i = 0; i < 3; i++)
        {
            var reading = body.ReadAsync(buffer).AsTask();
            _time.Advance(Idle - TimeSpan.FromSeconds(1));
            Assert.False(reading.IsCompleted);
            await _pipe.Writer.WriteAsync(new byte[1]);
            Assert.Equal(1, await reading);
            _time.Advance(Idle * 2);
        }

        var idle = body.ReadAsync(buffer).AsTask();
        _time.Advance(Idle);

        await Assert.ThrowsAsync<IOException>(() => idle);
    }

    [Fact]
    public async Task ReadAsync_Cancelled_ThrowsAndTheNextReadGoesOn()
    {
        using var body = Open().Exactly(10);
        using var cancel = new CancellationTokenSource();
        var reading = body.ReadAsync(new byte[10], cancel.Token).AsTask();
        await cancel.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);

        await _pipe.Writer.WriteAsync(new byte[3]);
        Assert.Equal(3, await body.ReadAsync(new byte[10]));
    }

    [Theory]
    [InlineData(10, false)]
    [InlineData(11, true)]
    public async Task ReadAsync_Capped_ThrowsOnlyWhenThereIsMore(int sent, bool isTooMuch)
    {
        using var body = Open().Capped(10);
        await _pipe.Writer.WriteAsync(new byte[sent]);
        await _pipe.Writer.CompleteAsync();

        var failure = await Record.ExceptionAsync(() => body.CopyToAsync(Stream.Null));

        Assert.Equal(isTooMuch, failure is IOException);
    }

    [Fact]
    public async Task ReadAsync_MoreThanMayBeRead_ComesWithTimeAndTheOriginIsNotIdle()
    {
        using var rate = new ByteRate(perSecond: 10, burst: 10, _time);
        using var body = Open(new OriginPace(rate, static () => Urgency.Pull, default));
        await _pipe.Writer.WriteAsync(new byte[1000]);
        var buffer = new byte[400];
        Assert.Equal(400, await body.ReadAsync(buffer));

        var second = body.ReadAsync(buffer).AsTask();
        _time.Advance(Idle * 2);
        Assert.False(second.IsCompleted);
        _time.Advance(Idle);

        Assert.Equal(400, await second.WaitAsync(Wait.Longest));
    }

    [Fact]
    public async Task ReadAsync_LessComesThanWasAllowed_TheRestIsGivenBack()
    {
        using var rate = new ByteRate(perSecond: 10, burst: 10, _time);
        using var body = Open(new OriginPace(rate, static () => Urgency.Pull, default));
        await _pipe.Writer.WriteAsync(new byte[4]);
        Assert.Equal(4, await body.ReadAsync(new byte[400]));

        Assert.True(rate.TakeAsync(1, Urgency.Pull, default, CancellationToken.None).IsCompletedSuccessfully);
    }

    // Who asked first comes last, when nobody waits for it.
    [Fact]
    public async Task ReadAsync_LessThanAllWant_StreamingGoesFirstPullsNextAndWhatIsFetchedAheadLast()
    {
        using var rate = new ByteRate(perSecond: 10, burst: 10, _time);
        await rate.TakeAsync(20, Urgency.Pull, default, CancellationToken.None);
        var reads = new List<Task<int>>();
        foreach (var urgency in (Urgency[])[Urgency.Ahead, Urgency.Pull, Urgency.Streaming])
        {
            var pipe = new Pipe();
            await pipe.Writer.WriteAsync(new byte[100]);
            reads.Add(Open(new OriginPace(rate, () => urgency, default), pipe).ReadAsync(new byte[100]).AsTask());
            Assert.Equal(reads.Count, rate.Waiting);
        }

        foreach (var next in Enumerable.Reverse(reads))
        {
            var waiting = rate.Waiting;
            while (rate.Waiting == waiting)
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
            }

            Assert.Equal(100, await next.WaitAsync(Wait.Longest));
            Assert.Equal(waiting - 1, reads.Count(read => !read.IsCompleted));
        }
    }

    // A large part is read at once, and a container waits for a little of it.
    [Fact]
    public async Task ReadAsync_AContainerWaitsForItNoMore_TheRestGoesLast()
    {
        var urgency = Urgency.Streaming;
        using var rate = new ByteRate(perSecond: 10, burst: 10, _time);
        await rate.TakeAsync(20, Urgency.Pull, default, CancellationToken.None);
        using var body = Open(new OriginPace(rate, () => urgency, default));
        await _pipe.Writer.WriteAsync(new byte[1000]);
        var first = body.ReadAsync(new byte[10]).AsTask();
        var pull = rate.TakeAsync(10, Urgency.Pull, default, CancellationToken.None);
        await ServeOneAsync();
        Assert.Equal(10, await first.WaitAsync(Wait.Longest));
        Assert.False(pull.IsCompleted);

        urgency = Urgency.Ahead;
        var rest = body.ReadAsync(new byte[10]).AsTask();
        var next = rate.TakeAsync(10, Urgency.Pull, default, CancellationToken.None);
        await ServeOneAsync();
        await ServeOneAsync();
        Assert.True(pull.IsCompleted && next.IsCompleted && !rest.IsCompleted);

        // And is waited for again, while it waits itself.
        var last = rate.TakeAsync(10, Urgency.Pull, default, CancellationToken.None);
        urgency = Urgency.Streaming;
        rate.Hasten(default);
        await ServeOneAsync();
        Assert.Equal(10, await rest.WaitAsync(Wait.Longest));
        Assert.False(last.IsCompleted);

        async Task ServeOneAsync()
        {
            for (var waiting = rate.Waiting; rate.Waiting == waiting; await Task.Yield())
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
            }
        }
    }

    [Fact]
    public async Task ReadAsync_CancelledWhileItMayNotRead_Ends()
    {
        using var rate = new ByteRate(perSecond: 10, burst: 10, _time);
        using var body = Open(new OriginPace(rate, static () => Urgency.Pull, default));
        await _pipe.Writer.WriteAsync(new byte[1000]);
        await body.ReadExactlyAsync(new byte[400]);
        using var cancel = new CancellationTokenSource();
        var reading = body.ReadAsync(new byte[400], cancel.Token).AsTask();

        await cancel.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        Assert.Equal(0, rate.Waiting);
    }

    private OriginBody Open(OriginPace? pace = null, Pipe? pipe = null)
    {
        var services = new ServiceCollection().AddMetrics().AddSingleton<OriginMetrics>().BuildServiceProvider();
        return new OriginBody((pipe ?? _pipe).Reader.AsStream(), "reg.test", Idle, services.GetRequiredService<OriginMetrics>(), _time, pace);
    }
}
