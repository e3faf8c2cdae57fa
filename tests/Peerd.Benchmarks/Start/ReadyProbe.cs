using System.Diagnostics;
using System.Net.Sockets;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Start;

/// <summary>Asks a node that is being started whether it is ready. By hand: the first question of an HTTP client would cost more than the native program takes to start.</summary>
internal static class ReadyProbe
{
    /// <summary>So close is the measured time to the true one.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(2);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly byte[] Question = [.. "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8];
    private static readonly byte[] Yes = [.. "HTTP/1.1 200 "u8];

    /// <summary>Waits until the node says that it is ready.</summary>
    /// <param name="node">A node whose process runs.</param>
    /// <param name="started">When it was started.</param>
    /// <param name="cancellationToken">Ends waiting.</param>
    /// <returns>How long it took.</returns>
    public static async Task<TimeSpan> WaitAsync(PeerdNode node, long started, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        while (!await IsReadyAsync(node.Metrics, patience.Token))
        {
            if (node.Process.HasExited)
            {
                throw new InvalidOperationException($"{node.Name} ended before it was ready.\n{node.Process.Tail()}");
            }

            await Task.Delay(Pause, patience.Token);
        }

        return Stopwatch.GetElapsedTime(started);
    }

    private static async Task<bool> IsReadyAsync(Uri node, CancellationToken cancellationToken)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        var answer = new byte[Yes.Length];
        try
        {
            await socket.ConnectAsync(node.Host, node.Port, cancellationToken);
            await socket.SendAsync(Question, cancellationToken);
            for (var read = 0; read < answer.Length;)
            {
                var more = await socket.ReceiveAsync(answer.AsMemory(read), cancellationToken);
                if (more == 0)
                {
                    return false;
                }

                read += more;
            }
        }
        catch (SocketException)
        {
            return false;
        }

        return answer.AsSpan().SequenceEqual(Yes);
    }
}
