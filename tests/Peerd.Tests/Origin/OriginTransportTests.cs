using System.Net;
using System.Net.Sockets;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class OriginTransportTests
{
    [Fact]
    public async Task Send_AnAddressOfTheHostNeverAnswers_TheNextOneIsConnectedTo()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var digest = registry.AddBlob(OriginSetup.Bytes(1000));

        // Its queue is full: who connects then waits for good.
        using var silent = new TcpListener(IPAddress.Parse("127.0.0.2"), registry.Port);
        silent.Start(backlog: 0);
        using var first = new TcpClient();
        await first.ConnectAsync((IPEndPoint)silent.LocalEndpoint, TestContext.Current.CancellationToken);
        await using var setup = new OriginSetup(
            [("reg.test", $"http://reg.test:{registry.Port}")],
            (_, _) => Task.FromResult<IPAddress[]>([IPAddress.Parse("127.0.0.2"), IPAddress.Loopback]),
            null,
            ("Retries", "0"));

        Assert.Equal((OriginOutcome.Ok, HttpStatusCode.OK), await setup.TryAsync(OriginSetup.Blob(digest)));
    }

    [Theory]
    [InlineData("2001:db8::1 2001:db8::2 2001:db8::3 192.0.2.1 192.0.2.2", "2001:db8::1 192.0.2.1 2001:db8::2 192.0.2.2 2001:db8::3")]
    [InlineData("192.0.2.1 2001:db8::1 2001:db8::2", "192.0.2.1 2001:db8::1 2001:db8::2")]
    [InlineData("192.0.2.2 192.0.2.1", "192.0.2.2 192.0.2.1")]
    [InlineData("", "")]
    public void ByTurns_AnyAddresses_TheFamiliesTakeTurnsInTheirOrder(string addresses, string expected) =>
        Assert.Equal(expected, string.Join(' ', OriginTransport.ByTurns(addresses.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(IPAddress.Parse))));
}
