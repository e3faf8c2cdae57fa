using System.Globalization;
using System.Net.Sockets;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Hands out TCP ports that nobody listens on at any address of this machine. They lie below the range from which the kernel takes
/// ports of outgoing connections, so a port stays free between handing it out and its use, and none is handed
/// out twice in this process. Processes at the same time are given parts of the range: PEERD_TEST_PORTS, for example 12000-20999.
/// </summary>
internal static class FreePorts
{
    private static readonly Lock Gate = new();
    private static readonly (int First, int Last) Range = Of(Environment.GetEnvironmentVariable("PEERD_TEST_PORTS"));

    // Runs on one machine at the same time that have the same ports begin at different places.
    private static int _next = Range.First + (Environment.ProcessId * 97 % (Range.Last - Range.First));

    /// <summary>A port that is free now.</summary>
    public static int Take()
    {
        lock (Gate)
        {
            for (var attempt = Range.First; attempt <= Range.Last; attempt++)
            {
                var port = _next;
                _next = _next == Range.Last ? Range.First : _next + 1;
                if (IsFree(port))
                {
                    return port;
                }
            }
        }

        throw new InvalidOperationException($"no free port between {Range.First} and {Range.Last}");
    }

    private static (int First, int Last) Of(string? setting)
    {
        int[] bounds = [.. (setting ?? "12000-29999").Split('-').Select(bound => int.Parse(bound, CultureInfo.InvariantCulture))];
        return (bounds[0], bounds[1]);
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
