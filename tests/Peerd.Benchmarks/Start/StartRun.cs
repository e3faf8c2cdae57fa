using System.Diagnostics;
using System.Net.Sockets;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Start;

/// <summary>One start of one program, alone and with an empty cache.</summary>
/// <param name="Ready">From the start of the process until it says that it is ready.</param>
/// <param name="IdleMemory">Bytes in memory after some time without work.</param>
internal sealed record StartRun(TimeSpan Ready, long IdleMemory)
{
    /// <summary>So close is the measured time to the true one.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(2);

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private static readonly byte[] Question = [.. "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8];
    private static readonly byte[] Yes = [.. "HTTP/1.1 200 "u8];

    public static async Task<StartRun> MeasureAsync(Lab lab, string name, IReadOnlyList<string> program, TimeSpan idle, CancellationToken cancellationToken)
    {
        var node = PeerdNode.Create(lab, name);
        node.WriteConfiguration(node.Configure([node]));
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        var started = Stopwatch.GetTimestamp();
        var process = await node.LaunchAsync(program);
        while (!await IsReadyAsync(node.Metrics, patience.Token))
        {
            if (process.HasExited)
            {
                throw new InvalidOperationException($"{name} ended before it was ready.\n{process.Tail()}");
            }

            await Task.Delay(Pause, patience.Token);
        }

        var ready = Stopwatch.GetElapsedTime(started);
        await Task.Delay(idle, cancellationToken);
        var memory = ResidentMemory.Of(process);
        await process.StopAsync(Patience);
        return new StartRun(ready, memory);
    }

    // By hand: the first question of an HTTP client would cost more than the native program takes to start.
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
