using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Hosting;

/// <summary>
/// Tells probes how this process is, by a Unix socket in a folder of its own: at the ports another process of the node may answer, and be
/// taken for this one. A letter asks, the text until the end answers. Owns the socket, from when all listeners of the node listen until they
/// no longer do. Thread-safe.
/// </summary>
internal sealed partial class ProbeSocket(IOptions<HandoverOptions> options, Readiness readiness, TimeProvider time, ILogger<ProbeSocket> logger) : IHostedLifecycleService, IDisposable
{
    /// <summary>The longest path of a Unix socket, in bytes: 108 with the zero at its end.</summary>
    public const int LongestPath = 107;

    private const byte IsLive = (byte)'l';
    private const byte IsReady = (byte)'r';
    private const string Yes = "ok";

    /// <summary>So many are answered at one time: probes of a pod are three.</summary>
    private const int Answerers = 4;

    private const int LongestAnswer = 1024;

    /// <summary>Who says nothing, or does not listen, is left after that.</summary>
    private static readonly TimeSpan ClientTime = TimeSpan.FromSeconds(5);

    /// <summary>When no connection can be accepted; the process may have no file left to open.</summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _stop = new();
    private Socket? _socket;
    private Task _answering = Task.CompletedTask;

    /// <summary>Asks the process whose socket this is.</summary>
    /// <param name="path">The socket.</param>
    /// <param name="ready">Whether it would serve; else, whether it answers at all.</param>
    /// <param name="cancellationToken">Ends waiting.</param>
    /// <returns>Null for yes, else why not, for people.</returns>
    /// <exception cref="OperationCanceledException">Cancelled: one that hangs never answers.</exception>
    public static async Task<string?> AskAsync(string path, bool ready, CancellationToken cancellationToken)
    {
        if (!IsPath(path))
        {
            return $"'{path}' is no path of a socket; allowed: an absolute path of at most {LongestPath} bytes";
        }

        try
        {
            using var socket = New();
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), cancellationToken);
            await socket.SendAsync(new[] { ready ? IsReady : IsLive }, cancellationToken);
            var answer = new byte[LongestAnswer];
            var length = 0;
            for (var read = -1; read != 0 && length < answer.Length; length += read)
            {
                read = await socket.ReceiveAsync(answer.AsMemory(length), cancellationToken);
            }

            var text = Encoding.UTF8.GetString(answer, 0, length);
            return text == Yes ? null : text.Length > 0 ? text : "it has ended without an answer";
        }
        catch (SocketException e)
        {
            return $"nobody answers at {path}: {(e.SocketErrorCode == SocketError.AddressNotAvailable ? "there is no socket" : e.Message)}";
        }
    }

    /// <summary>Whether a socket can be there.</summary>
    public static bool IsPath(string path) => Path.IsPathFullyQualified(path) && Encoding.UTF8.GetByteCount(path) <= LongestPath;

    public Task StartingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>All services are started, and the listeners listen.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        if (options.Value.ProbeSocket is { Length: > 0 } path && TryListen(path))
        {
            _answering = Task.WhenAll(Enumerable.Range(0, Answerers).Select(_ => AnswerAllAsync(_socket!, _stop.Token)));
        }

        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>A process that takes long to stop has answered until now.</summary>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _stop.CancelAsync();
        await _answering;
        _socket?.Dispose();
    }

    public void Dispose()
    {
        _stop.Cancel();
        _socket?.Dispose();
        _stop.Dispose();
    }

    private static Socket New() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    private bool TryListen(string path)
    {
        var socket = New();
        try
        {
            // Of a process before this one in the same folder, which died without a word.
            File.Delete(path);
            socket.Bind(new UnixDomainSocketEndPoint(path));
            socket.Listen();
            _socket = socket;
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or SocketException)
        {
            socket.Dispose();
            Log.NotAnswered(logger, path, e.Message);
            return false;
        }
    }

    private async Task AnswerAllAsync(Socket socket, CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                using var client = await socket.AcceptAsync(cancellationToken);
                using var deadline = new CancellationTokenSource(ClientTime, time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
                await AnswerAsync(client, either.Token);
            }
            catch (OperationCanceledException)
            {
            }
            catch (SocketException)
            {
                await Task.Delay(Pause, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task AnswerAsync(Socket client, CancellationToken cancellationToken)
    {
        var question = new byte[1];
        if (await client.ReceiveAsync(question, cancellationToken) == 0)
        {
            return;
        }

        var fault = question[0] switch
        {
            IsLive => null,
            IsReady => await readiness.FaultAsync(cancellationToken) is { } reason ? $"not ready: {reason}" : null,
            _ => "that is no question",
        };
        var answer = Encoding.UTF8.GetBytes(fault ?? Yes);
        await client.SendAsync(answer.AsMemory(0, Math.Min(answer.Length, LongestAnswer)), cancellationToken);
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Error, "Probes at {Path} are not answered: {Reason}")]
        public static partial void NotAnswered(ILogger logger, string path, string reason);
    }
}
