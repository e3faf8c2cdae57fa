using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace Peerd.Node.Hosting;

/// <summary>
/// Sockets of two processes that listen on the same address for a moment. All new connections go to the one that came
/// last, so that nothing is left in the queue of the other when that one closes.
/// </summary>
internal static class SharedPort
{
    // Of Linux, the same on x64 and arm64.
    private const int SolSocket = 1;
    private const int SoReusePort = 15;
    private const int SoAttachReusePortCbpf = 51;

    /// <summary>A socket that listens beside one of another process of the same user, if that one is such a socket, too.</summary>
    /// <exception cref="SocketException">The address cannot be listened on.</exception>
    public static Socket Bind(IPEndPoint endPoint)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            if (endPoint.Address.Equals(IPAddress.IPv6Any))
            {
                socket.DualMode = true;
            }

            Span<byte> on = stackalloc byte[sizeof(int)];
            MemoryMarshal.Write(on, 1);
            socket.SetRawSocketOption(SolSocket, SoReusePort, on);
            socket.Bind(endPoint);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Sends all new connections to the second socket that listens on this address, once there is one: the kernel numbers
    /// them in the order in which they began to listen, and takes the only one when there is no second.
    /// </summary>
    /// <param name="listening">A socket of <see cref="Bind"/> that listens.</param>
    public static void PreferTheNewest(Socket listening)
    {
        // One instruction of classic BPF: return 1, the number of the socket.
        ReadOnlySpan<byte> returnOne = [0x06, 0, 0, 0, 1, 0, 0, 0];
        var code = Marshal.AllocHGlobal(returnOne.Length);
        try
        {
            Marshal.Copy(returnOne.ToArray(), 0, code, returnOne.Length);
            Span<byte> program = stackalloc byte[16];
            program.Clear();
            BinaryPrimitives.WriteUInt16LittleEndian(program, 1);
            BinaryPrimitives.WriteInt64LittleEndian(program[8..], code);
            listening.SetRawSocketOption(SolSocket, SoAttachReusePortCbpf, program);
        }
        finally
        {
            Marshal.FreeHGlobal(code);
        }
    }
}
