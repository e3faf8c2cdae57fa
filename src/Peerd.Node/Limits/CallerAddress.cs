using System.Net;

namespace Peerd.Node.Limits;

/// <summary>Addresses of callers.</summary>
internal static class CallerAddress
{
    /// <summary>The address itself: a listener of both families shows an IPv4 address as one of IPv6, and of those only one is known as loopback.</summary>
    public static IPAddress Plain(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;
}
