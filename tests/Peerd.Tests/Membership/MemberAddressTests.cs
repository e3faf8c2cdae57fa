using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class MemberAddressTests
{
    [Theory]
    [InlineData("10.0.0.1:30001", "10.0.0.1", 30001)]
    [InlineData("[fd00::1]:1", "fd00::1", 1)]
    [InlineData("[::1]:65535", "::1", 65535)]
    [InlineData("node-1:30001", "node-1", 30001)]
    [InlineData("node-1.example.com:443", "node-1.example.com", 443)]
    [InlineData("1a.example:443", "1a.example", 443)]
    public void TryParse_Address_RoundTrips(string text, string host, int port)
    {
        Assert.True(MemberAddress.TryParse(text, out var address));
        Assert.Equal((host, port), (address.Host, address.Port));
        Assert.Equal(text, MemberAddress.Format(address));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("10.0.0.1")]
    [InlineData(":30001")]
    [InlineData("10.0.0.1:")]
    [InlineData("10.0.0.1:0")]
    [InlineData("10.0.0.1:65536")]
    [InlineData("10.0.0.1:-1")]
    [InlineData("10.0.0.1:+1")]
    [InlineData("10.0.0.1: 1")]
    [InlineData("10.0.0.1:1 ")]
    [InlineData("10.0.0.256:1")]
    [InlineData("10.1:1")]
    [InlineData("010.0.0.1:1")]
    [InlineData("0.0.0.0:1")]
    [InlineData("fd00::1:1")]
    [InlineData("[fd00::g]:1")]
    [InlineData("[10.0.0.1]:1")]
    [InlineData("[::]:1")]
    [InlineData("[]:1")]
    [InlineData("[:1")]
    [InlineData("http://node:1")]
    [InlineData("node/path:1")]
    [InlineData("user@node:1")]
    [InlineData("no de:1")]
    [InlineData("node..example:1")]
    public void TryParse_AnythingElse_IsRefused(string? text)
    {
        Assert.False(MemberAddress.TryParse(text, out var address));
        Assert.Null(address);
    }
}
