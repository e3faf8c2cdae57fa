using System.Net;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class AddressPolicyTests
{
    [Theory]
    [InlineData("127.0.0.1")]
    [InlineData("127.255.1.1")]
    [InlineData("0.0.0.0")]
    [InlineData("0.1.2.3")]
    [InlineData("169.254.169.254")]
    [InlineData("168.63.129.16")]
    [InlineData("100.100.100.200")]
    [InlineData("224.0.0.1")]
    [InlineData("255.255.255.255")]
    [InlineData("::")]
    [InlineData("::1")]
    [InlineData("fe80::1")]
    [InlineData("fe80::1%3")]
    [InlineData("febf::1")]
    [InlineData("ff02::1")]
    [InlineData("fd00:ec2::254")]
    [InlineData("fd00:ec2::23")]
    [InlineData("fd20:ce::254")]
    [InlineData("fd00:c1::a9fe:a9fe")]
    [InlineData("fd00:42::42")]
    [InlineData("fd00:a9fe:a9fe::1")]
    [InlineData("2001::1")]
    [InlineData("2001:0:1:2::5")]
    [InlineData("::ffff:0:169.254.169.254")]
    [InlineData("::ffff:127.0.0.1")]
    [InlineData("::ffff:169.254.169.254")]
    [InlineData("64:ff9b::7f00:1")]
    [InlineData("64:ff9b:1::a9fe:a9fe")]
    [InlineData("2002:a9fe:a9fe::1")]
    [InlineData("::169.254.169.254")]
    public void IsForbidden_LocalAndMetadata_True(string address) => Assert.True(AddressPolicy.IsForbidden(IPAddress.Parse(address)));

    [Theory]
    [InlineData("10.0.0.1")]
    [InlineData("192.168.1.1")]
    [InlineData("172.16.0.1")]
    [InlineData("100.64.0.1")]
    [InlineData("1.1.1.1")]
    [InlineData("2606:4700::1111")]
    [InlineData("fd00::1")]
    [InlineData("fd20:cf::254")]
    [InlineData("fd00:c1::a9fe:a9ff")]
    [InlineData("fd00:42::43")]
    [InlineData("fd00:a9fe:a9fe::2")]
    [InlineData("2001:1::1")]
    [InlineData("2001:db8::1")]
    [InlineData("::ffff:0:10.0.0.1")]
    [InlineData("64:ff9b::101:101")]
    [InlineData("::ffff:10.0.0.1")]
    public void IsForbidden_Others_False(string address) => Assert.False(AddressPolicy.IsForbidden(IPAddress.Parse(address)));
}
