using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A connection that speaks HTTP/1.1 by hand: a target goes out byte for byte, and whatever is wrong with the framing of an
/// answer is an error rather than mended. For one request at a time.
/// </summary>
internal sealed class WireConnection : IDisposable
{
    // What the real client has room for.
    private const int MaxHead = 60 * 1024;

    private readonly Socket _socket;
    private readonly byte[] _buffer = new byte[MaxHead];
    private int _start;
    private int _end;

    private WireConnection(Socket socket, string authority)
    {
        _socket = socket;
        Authority = authority;
    }

    /// <summary>Host and port of the server.</summary>
    public string Authority { get; }

    /// <summary>The last answer is here as a whole, and the server awaits another request.</summary>
    public bool IsIdle { get; private set; } = true;

    /// <summary>The server has not ended the connection since.</summary>
    public bool IsAlive => !_socket.Poll(0, SelectMode.SelectRead)
        || (_socket.Available > 0 ? throw new BrokenAnswerException("the server sent bytes that belong to no answer") : false);

    /// <summary>Connects by IPv4, as the real client does.</summary>
    public static async Task<WireConnection> ConnectAsync(string authority, CancellationToken cancellationToken)
    {
        var (host, port) = authority.Split(':') is [var name, var number] ? (name, int.Parse(number)) : (authority, 80);
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(host, port, cancellationToken);
            return new WireConnection(socket, authority);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Sends a GET and reads the answer up to its body.</summary>
    /// <exception cref="IOException">The connection ended instead.</exception>
    /// <exception cref="SocketException">The connection broke instead.</exception>
    public async Task<WireHead> AskAsync(string target, IEnumerable<string> headers, CancellationToken cancellationToken)
    {
        IsIdle = false;
        var lines = (string[])[$"GET {target} HTTP/1.1", $"Host: {Authority}", .. headers, "Connection: keep-alive", string.Empty, string.Empty];
        await SendAsync(Encoding.Latin1.GetBytes(string.Join("\r\n", lines)), cancellationToken);
        int length;
        while ((length = _buffer.AsSpan(_start.._end).IndexOf("\r\n\r\n"u8)) < 0)
        {
            if (!await FillAsync(cancellationToken))
            {
                throw new IOException($"{Authority} ended the connection before its answer");
            }
        }

        var head = WireHead.Parse(_buffer.AsSpan(_start, length));
        _start += length + 4;
        return head;
    }

    /// <summary>Reads the body of an answer.</summary>
    /// <param name="head">What came before it.</param>
    /// <param name="limit">A longer body is an error.</param>
    /// <param name="cancellationToken">Ends waiting.</param>
    /// <exception cref="BrokenAnswerException">It is cut short, too long, or nothing tells where it ends.</exception>
    public async Task<byte[]> ReadBodyAsync(WireHead head, int limit, CancellationToken cancellationToken)
    {
        byte[] body;
        try
        {
            body = head.IsChunked ? await ReadChunksAsync(limit, cancellationToken)
                : head.ContentLength is not { } length ? throw new BrokenAnswerException("the answer has neither a Content-Length nor chunks")
                : length > limit ? throw new BrokenAnswerException($"the body has {length} bytes, {limit} were asked for")
                : await ReadExactlyAsync((int)length, cancellationToken);
        }
        catch (SocketException e)
        {
            throw new BrokenAnswerException("the connection broke in the middle of a body", e);
        }

        if (_start != _end)
        {
            throw new BrokenAnswerException($"{_end - _start} bytes came behind the end of the body");
        }

        IsIdle = !head.Closes;
        return body;
    }

    /// <inheritdoc />
    public void Dispose() => _socket.Dispose();

    private async Task<byte[]> ReadChunksAsync(int limit, CancellationToken cancellationToken)
    {
        var body = new List<byte>();
        while (true)
        {
            var size = int.Parse((await ReadLineAsync(cancellationToken)).Split(';')[0], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (size > limit - body.Count)
            {
                throw new BrokenAnswerException($"the body has {body.Count + size} bytes or more, {limit} were asked for");
            }

            body.AddRange(await ReadExactlyAsync(size, cancellationToken));
            if (await ReadLineAsync(cancellationToken) is { Length: > 0 } more)
            {
                throw new BrokenAnswerException($"'{more}' follows a chunk");
            }

            if (size == 0)
            {
                return [.. body];
            }
        }
    }

    private async Task<string> ReadLineAsync(CancellationToken cancellationToken)
    {
        int length;
        while ((length = _buffer.AsSpan(_start.._end).IndexOf("\r\n"u8)) < 0)
        {
            if (!await FillAsync(cancellationToken))
            {
                throw new BrokenAnswerException("the connection ended within chunks");
            }
        }

        var line = Encoding.Latin1.GetString(_buffer, _start, length);
        _start += length + 2;
        return line;
    }

    private async Task<byte[]> ReadExactlyAsync(int count, CancellationToken cancellationToken)
    {
        var bytes = new byte[count];
        var here = Math.Min(count, _end - _start);
        _buffer.AsSpan(_start, here).CopyTo(bytes);
        _start += here;
        while (here < count)
        {
            var read = await _socket.ReceiveAsync(bytes.AsMemory(here), cancellationToken);
            here += read > 0 ? read : throw new BrokenAnswerException($"the body ended after {here} of {count} bytes");
        }

        return bytes;
    }

    private async Task<bool> FillAsync(CancellationToken cancellationToken)
    {
        if (_start > 0)
        {
            _buffer.AsSpan(_start.._end).CopyTo(_buffer);
            (_start, _end) = (0, _end - _start);
        }

        if (_end == _buffer.Length)
        {
            throw new BrokenAnswerException($"the headers have more than {MaxHead} bytes");
        }

        var read = await _socket.ReceiveAsync(_buffer.AsMemory(_end), cancellationToken);
        _end += read;
        return read > 0;
    }

    private async Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellationToken)
    {
        while (!bytes.IsEmpty)
        {
            bytes = bytes[await _socket.SendAsync(bytes, cancellationToken)..];
        }
    }
}
