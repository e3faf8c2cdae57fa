using System.Net;
using System.Net.Sockets;

namespace Peerd.Tests.Cli.Doctor;

/// <summary>What a server does to a connection instead of answering.</summary>
public enum Silence
{
    /// <summary>Nothing.</summary>
    Wait,

    /// <summary>Closes it in an orderly way.</summary>
    Close,

    /// <summary>Resets it.</summary>
    Reset,
}

/// <summary>A server at loopback that takes connections, reads what is asked, and answers nothing.</summary>
internal sealed class SilentServer : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly TaskCompletionSource _asked = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _serving;

    public SilentServer(Silence silence)
    {
        _listener.Start();
        _serving = ServeAsync(silence, _stop.Token);
    }

    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>Completes when a request has come.</summary>
    public Task Asked => _asked.Task;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _serving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _listener.Dispose();
        _stop.Dispose();
    }

    private async Task ServeAsync(Silence silence, CancellationToken stop)
    {
        while (true)
        {
            using var client = await _listener.AcceptTcpClientAsync(stop);
            using var reader = new StreamReader(client.GetStream());
            while (await reader.ReadLineAsync(stop) is { Length: > 0 })
            {
            }

            _asked.TrySetResult();
            if (silence == Silence.Wait)
            {
                // Until the other end has gone.
                await reader.ReadToEndAsync(stop);
            }
            else if (silence == Silence.Reset)
            {
                client.Client.Close(0);
            }
        }
    }
}
