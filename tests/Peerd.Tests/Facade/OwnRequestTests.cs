using System.Net;
using System.Net.Sockets;
using System.Text;
using Peerd.Node.Facade;
using Peerd.Node.Limits;

namespace Peerd.Tests.Facade;

/// <summary>What a node makes of what answers where its facade should.</summary>
public sealed class OwnRequestTests : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly OwnRequest _own = new(new OwnConnections());

    public OwnRequestTests() => _listener.Start();

    private IPEndPoint There => (IPEndPoint)_listener.LocalEndpoint;

    public void Dispose() => _listener.Dispose();

    [Fact]
    public async Task Fault_OfAFacade_IsNone()
    {
        await using var host = await FacadeHost.StartAsync();

        Assert.Null(await _own.FaultAsync(new IPEndPoint(IPAddress.Loopback, host.Port), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Fault_NobodyListens_IsTold()
    {
        using var closed = new ClosedPort();

        Assert.Equal("it cannot be reached (ConnectionRefused)", await _own.FaultAsync(closed.EndPoint, TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Fault_NobodyAnswers_IsWaitedForUntilCancelled()
    {
        using var cancellation = new CancellationTokenSource();
        var asked = _own.FaultAsync(There, cancellation.Token);
        using var taken = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        await cancellation.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
    }

    [Theory]
    [InlineData("", "it closes connections without an answer")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "what answers there is no facade")]
    [InlineData("HTTP/1.1 503 Service Unavailable\r\nX-Request-Id: <own>\r\n\r\n", "it answers 503")]
    [InlineData("<own>", "it answers ")]
    [InlineData("HTTP/1.1 200 OK\r\nX-Request-Id: <own>\r\n\r\n{}", null)]
    public async Task Fault_SomethingAnswers_IsWhatItSays(string answer, string? expected)
    {
        var asked = _own.FaultAsync(There, TestContext.Current.CancellationToken);
        using (var taken = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken))
        {
            var request = new byte[4096];
            var length = await taken.ReceiveAsync(request, TestContext.Current.CancellationToken);
            var id = Encoding.ASCII.GetString(request, 0, length).Split($"{FacadeRequest.IdHeader}: ")[1].Split("\r\n")[0];
            await taken.SendAsync(Encoding.ASCII.GetBytes(answer.Replace("<own>", id, StringComparison.Ordinal)), TestContext.Current.CancellationToken);
        }

        Assert.Equal(expected, await asked);
    }

    // Whoever sends without end is not listened to without end.
    [Fact]
    public async Task Fault_AnAnswerWithoutEnd_IsNotReadToTheEnd()
    {
        var asked = _own.FaultAsync(There, TestContext.Current.CancellationToken);
        using var taken = await _listener.AcceptSocketAsync(TestContext.Current.CancellationToken);

        await taken.SendAsync(new byte[64 * 1024], TestContext.Current.CancellationToken);

        Assert.Equal("what answers there is no facade", await asked);
    }
}
