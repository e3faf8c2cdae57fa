using Peerd.Node.Facade;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Facade;

public sealed class FacadeConnectionsTests
{
    private const int Most = 4;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ArmedTime _time = new();
    private readonly FacadeConnections _connections;

    public FacadeConnectionsTests() => _connections = new FacadeConnections(Most, _time);

    [Fact]
    public async Task Enter_AllPlacesAreTaken_TheOneWithoutARequestForLongestCloses()
    {
        var clients = await EnterAllAsync();
        clients[0].Ask();
        clients[1].Ask();
        clients[2].AskAndBeAnswered();
        _time.Advance(TimeSpan.FromSeconds(1));
        clients[3].AskAndBeAnswered();
        clients[1].BeAnswered();

        // One for each who waits, and none that has a request under way.
        var (first, second) = (new Client(_connections), new Client(_connections));
        Assert.Equal([false, false, true, true], clients.Select(client => client.IsClosed));
        Assert.False(first.HasEnded || second.HasEnded);

        clients[3].Leave();
        await first.EnteredAsync();
        Assert.False(second.HasEnded);
        clients[2].Leave();
        await second.EnteredAsync();
        Assert.Equal([false, false, true, true], clients.Select(client => client.IsClosed));
        Assert.Equal(0, _connections.Waiting);
    }

    [Fact]
    public async Task Enter_AllHaveRequests_TheFirstThatWasAnsweredCloses()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.Ask());
        var late = new Client(_connections);
        Assert.DoesNotContain(clients, client => client.IsClosed);

        clients[2].BeAnswered();

        Assert.Equal([false, false, true, false], clients.Select(client => client.IsClosed));
        clients[2].Leave();
        await late.EnteredAsync();
        Assert.Equal(TimeSpan.Zero, late.TakeWaited());
    }

    // A request that comes later has not waited.
    [Fact]
    public async Task TakeWaited_ThePlaceWasWaitedFor_IsToldOnce()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.Ask());
        var late = new Client(_connections);
        await LookAsync();
        clients[2].Leave();
        await late.EnteredAsync();

        Assert.Equal(FacadeConnections.Look, late.TakeWaited());
        Assert.Equal(TimeSpan.Zero, late.TakeWaited());
    }

    [Fact]
    public async Task Enter_TheOneThatWasToCloseHasAskedBefore_IsAnsweredAndAnotherCloses()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.AskAndBeAnswered());
        var late = new Client(_connections);
        Assert.True(clients[0].IsClosed);

        clients[0].Ask();
        _time.Advance(FacadeConnections.Look);

        await Wait.UntilAsync(() => clients[1].IsClosed, "the next one closes");
        clients[1].Leave();
        await late.EnteredAsync();
        clients[0].BeAnswered();
        clients[0].Leave();

        // The place of the first one is free again, and nobody has to close for it.
        var next = new Client(_connections);
        await next.EnteredAsync();
        Assert.False(clients[2].IsClosed || clients[3].IsClosed || late.IsClosed);
    }

    // It has sent half of the head of its next request, say: the server waits for the rest of that.
    [Fact]
    public async Task Enter_TheOneThatIsToCloseStays_TheNextOneClosesAfterALook()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.AskAndBeAnswered());
        var late = new Client(_connections);
        for (var closed = 1; closed < Most; closed++)
        {
            Assert.Equal(closed, clients.Count(client => client.IsClosed));
            await LookAsync();
        }

        Assert.All(clients, client => Assert.True(client.IsClosed));

        // The rest of an answer may be on its way to any of them.
        Assert.DoesNotContain(clients, client => client.IsCut);
        clients[2].Leave();
        await late.EnteredAsync();
        clients[0].Leave();
        await new Client(_connections).EnteredAsync();
    }

    [Fact]
    public async Task Enter_TheOneThatIsToCloseHasNeverAskedAndStays_IsCut()
    {
        var clients = await EnterAllAsync();
        clients[2].Ask();
        clients[3].Ask();
        clients[0].Ask();
        _time.Advance(FacadeConnections.FirstRequest);
        clients[0].BeAnswered();
        var late = new Client(_connections);
        Assert.Equal([false, true, false, false], clients.Select(client => client.IsClosed));
        Assert.False(clients[1].IsCut);

        await LookAsync();

        // It is about to go, and another one need not.
        Assert.True(clients[1].IsCut);
        Assert.False(clients[0].IsClosed);
        clients[1].Leave();
        await late.EnteredAsync();
        Assert.Equal([false, true, false, false], clients.Select(client => client.IsClosed));
        Assert.Equal([false, true, false, false], clients.Select(client => client.IsCut));
    }

    [Fact]
    public async Task Enter_TheOneThatWasToCloseAsksAfterALook_IsNotCut()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients[1..], static client => client.Ask());
        _time.Advance(FacadeConnections.FirstRequest);
        var late = new Client(_connections);
        Assert.True(clients[0].IsClosed);
        clients[0].Ask();
        await LookAsync();
        clients[0].BeAnswered();

        // Once more it has a look to close.
        clients[1].BeAnswered();
        Assert.False(clients[1].IsClosed);
        await LookAsync();

        Assert.True(clients[1].IsClosed);
        Assert.False(clients[0].IsCut);
        clients[0].Leave();
        await late.EnteredAsync();
    }

    // In a crowd each newcomer would close the one before, whose request is on its way.
    [Fact]
    public async Task Enter_OthersHaveJustCome_HaveAMomentToAsk()
    {
        var clients = await EnterAllAsync();
        clients[0].Ask();
        var late = new Client(_connections);
        for (var waited = TimeSpan.Zero; waited < FacadeConnections.FirstRequest - FacadeConnections.Look; waited += FacadeConnections.Look)
        {
            _time.Advance(FacadeConnections.Look);
            Assert.DoesNotContain(clients, client => client.IsClosed);
        }

        for (; !clients[1].IsClosed; await Task.Yield())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        Assert.Equal([false, true, false, false], clients.Select(client => client.IsClosed));
        clients[1].Leave();
        await late.EnteredAsync();
    }

    [Fact]
    public async Task Enter_NobodyIsAnsweredForTooLong_IsRefusedAndGivesItsPlaceInTheQueueBack()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.Ask());
        var refused = new Client(_connections);

        for (; !refused.HasEnded; await Task.Yield())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            _time.Advance(TimeSpan.FromMilliseconds(1));
        }

        await refused.RefusedAsync();
        Assert.InRange(_time.GetUtcNow() - _time.Start, FacadeConnections.Patience, TimeSpan.MaxValue);
        Assert.Equal(0, _connections.Waiting);
        clients[0].BeAnswered();
        Assert.False(clients[0].IsClosed);
    }

    [Fact]
    public async Task Enter_TooManyWait_IsRefusedAtOnce()
    {
        var clients = await EnterAllAsync();
        Array.ForEach(clients, static client => client.Ask());
        using var gone = new CancellationTokenSource();
        var waiting = Enumerable.Range(0, _connections.MostWaiting).Select(_ => new Client(_connections, gone.Token)).ToList();
        await new Client(_connections).RefusedAsync();
        Assert.DoesNotContain(waiting, client => client.HasEnded);

        // Who has gone waits no more.
        await gone.CancelAsync();
        await Task.WhenAll(waiting.Select(client => client.RefusedAsync()));
        waiting = [.. Enumerable.Range(0, _connections.MostWaiting).Select(_ => new Client(_connections))];
        Assert.DoesNotContain(waiting, client => client.HasEnded);
        Assert.Equal(_connections.MostWaiting, _connections.Waiting);
    }

    /// <summary>So much time that the one who waits looks again.</summary>
    private async Task LookAsync()
    {
        _time.Forget();
        _time.Advance(FacadeConnections.Look);
        await _time.ArmedAsync(FacadeConnections.Look);
    }

    private async Task<Client[]> EnterAllAsync()
    {
        var clients = Enumerable.Range(0, Most).Select(_ => new Client(_connections)).ToArray();
        foreach (var client in clients)
        {
            await client.EnteredAsync();
        }

        return clients;
    }

    private sealed class Client
    {
        private readonly Task<FacadeConnections.Place?> _entering;
        private FacadeConnections.Place? _place;

        public Client(FacadeConnections connections, CancellationToken gone = default) => _entering = connections.EnterAsync(() => IsClosed = true, () => IsCut = true, gone);

        public bool IsClosed { get; private set; }

        public bool IsCut { get; private set; }

        /// <summary>It waits no more: it is in, or was refused.</summary>
        public bool HasEnded => _entering.IsCompleted;

        public async Task EnteredAsync()
        {
            _place = await _entering.WaitAsync(Patience);
            Assert.NotNull(_place);
        }

        public async Task RefusedAsync() => Assert.Null(await _entering.WaitAsync(Patience));

        public TimeSpan TakeWaited() => _place!.TakeWaited();

        public void Ask() => _place!.BeginRequest();

        public void BeAnswered() => _place!.EndRequest();

        public void AskAndBeAnswered()
        {
            Ask();
            BeAnswered();
        }

        public void Leave() => _place!.Dispose();
    }
}
