using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

public sealed class ListenAddressTests
{
    [Theory]
    [InlineData("127.0.0.1:30000", "127.0.0.1:30000")]
    [InlineData("0.0.0.0:0", "0.0.0.0:0")]
    [InlineData("[::]:65535", "[::]:65535")]
    [InlineData("[fd00:0::1]:1", "[fd00::1]:1")]
    public void TryParse_AddressAndPort_IsRead(string text, string expected)
    {
        Assert.True(ListenAddress.TryParse(text, out var endPoint));
        Assert.Equal(expected, endPoint.ToString());
        Assert.Equal(endPoint, ListenAddress.Parse(text));
    }

    [Theory]
    [InlineData("0.0.0.0:1", "127.0.0.1:1")]
    [InlineData("[::]:2", "127.0.0.1:2")]
    [InlineData("[::1]:3", "[::1]:3")]
    [InlineData("10.0.0.1:4", "10.0.0.1:4")]
    public void FromThisMachine_AnyAddress_IsOneToConnectTo(string listen, string expected) =>
        Assert.Equal(expected, ListenAddress.FromThisMachine(ListenAddress.Parse(listen)).ToString());

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData(":")]
    [InlineData(":80")]
    [InlineData("80")]
    [InlineData("127.0.0.1")]
    [InlineData("127.0.0.1:")]
    [InlineData("127.0.0.1:65536")]
    [InlineData("127.0.0.1:-1")]
    [InlineData("127.0.0.1:+1")]
    [InlineData("127.0.0.1: 1")]
    [InlineData("127.1:80")]
    [InlineData("0177.0.0.1:80")]
    [InlineData("1:80")]
    [InlineData("::1")]
    [InlineData("::1:80")]
    [InlineData("[::1]")]
    [InlineData("[::1]80")]
    [InlineData("[127.0.0.1]:80")]
    [InlineData("localhost:80")]
    [InlineData("*:80")]
    [InlineData("http://127.0.0.1:80")]
    public void TryParse_AnythingElse_IsRefused(string? text)
    {
        Assert.False(ListenAddress.TryParse(text, out _));
        Assert.Throws<FormatException>(() => ListenAddress.Parse(text!));
    }
}
