using System.Net;
using System.Net.Sockets;
using Peerd.Node.Limits;

namespace Peerd.Tests.Limits;

public sealed class OwnConnectionsTests : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.IPv6Any, 0);
    private readonly OwnConnections _own = new();

    public OwnConnectionsTests()
    {
        _listener.Server.DualMode = true;
        _listener.Start();
    }

    public static TheoryData<string> Loopback => ["127.0.0.1", "::1"];

    public void Dispose() => _listener.Dispose();

    [Theory]
    [MemberData(nameof(Loopback))]
    public async Task TryTake_AConnectionOfTheNode_IsOneOnce(string address)
    {
        using var own = await _own.ConnectAsync(There(address), TestContext.Current.CancellationToken);
        using var accepted = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        Assert.True(_own.TryTake(accepted.RemoteEndPoint, accepted.LocalEndPoint));
        Assert.False(_own.TryTake(accepted.RemoteEndPoint, accepted.LocalEndPoint));
    }

    [Fact]
    public async Task TryTake_AConnectionOfAnother_IsNone()
    {
        using var own = await _own.ConnectAsync(There("127.0.0.1"), TestContext.Current.CancellationToken);
        using var first = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        using var other = new TcpClient();
        await other.ConnectAsync(There("127.0.0.1"), TestContext.Current.CancellationToken);
        using var second = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        Assert.False(_own.TryTake(second.RemoteEndPoint, second.LocalEndPoint));
        Assert.False(_own.TryTake(null, null));
        Assert.True(_own.TryTake(first.RemoteEndPoint, first.LocalEndPoint));
    }

    // Who binds the same port, as anybody may, reaches another listener from it.
    [Fact]
    public async Task TryTake_TheSameOriginAtAnotherListener_IsNone()
    {
        using var own = await _own.ConnectAsync(There("127.0.0.1"), TestContext.Current.CancellationToken);
        using var accepted = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);
        var other = new IPEndPoint(IPAddress.Loopback, There("127.0.0.1").Port + 1);

        Assert.False(_own.TryTake(accepted.RemoteEndPoint, other));
        Assert.True(_own.TryTake(accepted.RemoteEndPoint, accepted.LocalEndPoint));
    }

    // From there a client may come next.
    [Fact]
    public async Task TryTake_TheNodeHasGivenUp_IsNone()
    {
        (await _own.ConnectAsync(There("127.0.0.1"), TestContext.Current.CancellationToken)).Dispose();
        using var accepted = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        Assert.False(_own.TryTake(accepted.RemoteEndPoint, accepted.LocalEndPoint));
    }

    [Fact]
    public async Task Connect_NobodyListens_Throws()
    {
        var there = There("127.0.0.1");
        _listener.Stop();

        await Assert.ThrowsAsync<SocketException>(() => _own.ConnectAsync(there, TestContext.Current.CancellationToken));
    }

    private IPEndPoint There(string address) => new(IPAddress.Parse(address), ((IPEndPoint)_listener.LocalEndpoint).Port);
}
