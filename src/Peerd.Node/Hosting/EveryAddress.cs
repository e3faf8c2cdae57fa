using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Hosting;

/// <summary>What <c>[::]</c> means: every address of this machine, of IPv6 and of IPv4, whichever of them it has.</summary>
internal static class EveryAddress
{
    /// <summary>Makes a socket; for <c>[::]</c> on a machine without IPv6 one for <c>0.0.0.0</c>.</summary>
    /// <param name="endPoint">Where to listen.</param>
    /// <param name="bind">Makes a socket; for <c>[::]</c> one that takes IPv4, too.</param>
    /// <param name="withoutIPv6">Called when the machine has no IPv6, with what it said.</param>
    /// <exception cref="SocketException">The machine refuses, and not for want of IPv6.</exception>
    public static Socket Bind(IPEndPoint endPoint, Func<IPEndPoint, Socket> bind, Action<SocketError> withoutIPv6)
    {
        try
        {
            return bind(endPoint);
        }
        catch (SocketException e) when (endPoint.Address.Equals(IPAddress.IPv6Any)
            && e.SocketErrorCode is SocketError.AddressFamilyNotSupported or SocketError.ProtocolFamilyNotSupported or SocketError.AddressNotAvailable)
        {
            withoutIPv6(e.SocketErrorCode);
            return bind(new IPEndPoint(IPAddress.Any, endPoint.Port));
        }
    }
}
