using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Peerd.Node.Hosting;

/// <summary>
/// How much of what is written to a connection waits in the kernel before it is sent. What a container waits for must not
/// stand behind mebibytes that were written for later.
/// </summary>
internal static class UnsentBytes
{
    /// <summary>
    /// Of each connection. The kernel asks for more at half of it, which lasts for 0.4 ms of 10 Gbit/s; less would have the
    /// answers to many readers sent by turns, and each of them late.
    /// </summary>
    public const int Most = 1024 * 1024;

    // Of Linux (tcp(7)), the same on x64 and arm64.
    private const int IpProtoTcp = 6;
    private const int TcpNotSentLowWatermark = 25;

    /// <summary>Applies to all connections that this socket accepts. Without effect where the kernel does not know it.</summary>
    public static void Limit(Socket listening)
    {
        Span<byte> most = stackalloc byte[sizeof(int)];
        MemoryMarshal.Write(most, Most);
        try
        {
            listening.SetRawSocketOption(IpProtoTcp, TcpNotSentLowWatermark, most);
        }
        catch (SocketException)
        {
        }
    }

    /// <summary>What is set for a socket, in bytes.</summary>
    internal static int Of(Socket socket)
    {
        Span<byte> most = stackalloc byte[sizeof(int)];
        socket.GetRawSocketOption(IpProtoTcp, TcpNotSentLowWatermark, most);
        return MemoryMarshal.Read<int>(most);
    }
}
