using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Limits;

/// <summary>Addresses of callers.</summary>
internal static class CallerAddress
{
    /// <summary>The address itself: a listener of both families shows an IPv4 address as one of IPv6, and of those only one is known as loopback.</summary>
    public static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    /// <summary>The address itself, or the first one of the /64 network of an IPv6 address, which loopback has not.</summary>
    public static IPAddress Network(IPAddress address)
    {
        var plain = Plain(address);
        if (plain.AddressFamily != AddressFamily.InterNetworkV6 || IPAddress.IsLoopback(plain))
        {
            return plain;
        }

        var bytes = plain.GetAddressBytes();
        bytes.AsSpan(8).Clear();
        return new IPAddress(bytes);
    }
}
