using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Hands out TCP ports that nobody listens on at any address of this machine. They lie below the range from which the kernel takes
/// ports of outgoing connections, so a port stays free between handing it out and its use, and none is handed
/// out twice in this process.
/// </summary>
internal static class FreePorts
{
    private const int First = 12_000;
    private const int Last = 29_999;

    private static readonly Lock Gate = new();

    // Runs on one machine at the same time begin at different places.
    private static int _next = First + Environment.ProcessId * 97 % (Last - First);

    /// <summary>A port that is free now.</summary>
    public static int Take()
    {
        lock (Gate)
        {
            for (var attempt = First; attempt <= Last; attempt++)
            {
                var port = _next;
                _next = _next == Last ? First : _next + 1;
                if (IsFree(port))
                {
                    return port;
                }
            }
        }

        throw new InvalidOperationException($"no free port between {First} and {Last}");
    }

    private static bool IsFree(int port)
    {
        using var listener = TcpListener.Create(port);
        try
        {
            listener.Start();
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }
}
