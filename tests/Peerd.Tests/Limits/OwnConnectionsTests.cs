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
        using var closed = new ClosedPort();

        await Assert.ThrowsAsync<SocketException>(() => _own.ConnectAsync(closed.EndPoint, TestContext.Current.CancellationToken));
    }

    // There is one port to call from, and it has a connection to another listener.
    [Fact]
    public async Task Connect_NoPortIsFree_ConnectsAndIsOneOfMany()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        using var first = NewSocket();
        await first.ConnectAsync(other.LocalEndpoint, TestContext.Current.CancellationToken);
        var only = (IPEndPoint)first.LocalEndPoint!;

        using var own = await _own.ConnectAsync(NewSocketFrom(only.Port), There("127.0.0.1"), TestContext.Current.CancellationToken);
        using var accepted = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        Assert.Equal(only, own.Socket.LocalEndPoint);
        Assert.False(_own.TryTake(accepted.RemoteEndPoint, accepted.LocalEndPoint));
    }

    // The port has a connection to this very listener.
    [Fact]
    public async Task Connect_NoPortIsLeftToThatListener_Throws()
    {
        using var first = NewSocket();
        await first.ConnectAsync(There("127.0.0.1"), TestContext.Current.CancellationToken);

        await Assert.ThrowsAsync<SocketException>(
            () => _own.ConnectAsync(NewSocketFrom(((IPEndPoint)first.LocalEndPoint!).Port), There("127.0.0.1"), TestContext.Current.CancellationToken));
    }

    // Somebody else has it, who may answer as well.
    [Fact]
    public async Task Connect_AddressIsNoneOfThisMachine_Throws()
    {
        var fault = await Assert.ThrowsAsync<SocketException>(
            () => _own.ConnectAsync(new IPEndPoint(IPAddress.Parse("192.0.2.1"), 1), TestContext.Current.CancellationToken));

        Assert.Equal(SocketError.AddressNotAvailable, fault.SocketErrorCode);
    }

    private static Socket NewSocket() => new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

    /// <summary>A socket for which this is the only port that it may be given.</summary>
    private static Socket NewSocketFrom(int port)
    {
        // IP_LOCAL_PORT_RANGE of Linux 6.3.
        const int IPLevel = 0;
        const int LocalPortRange = 51;
        var socket = NewSocket();
        try
        {
            socket.SetRawSocketOption(IPLevel, LocalPortRange, BitConverter.GetBytes((port << 16) | port));
        }
        catch (SocketException e)
        {
            socket.Dispose();
            Assert.Skip($"this test tells the kernel which ports there are, which it does not allow: {e.Message}");
        }

        return socket;
    }

    private IPEndPoint There(string address) => new(IPAddress.Parse(address), ((IPEndPoint)_listener.LocalEndpoint).Port);
}
