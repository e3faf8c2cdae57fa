using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;

namespace Peerd.Tests.Facade;

/// <summary>How the other side ended a connection.</summary>
internal enum ConnectionEnd
{
    Fin,
    Reset,
}

/// <summary>An answer as it came over the wire.</summary>
internal sealed record RawAnswer(string Version, int Status, ILookup<string, string> Headers, byte[] Body)
{
    public string? Header(string name) => Headers[name].SingleOrDefault();

    /// <summary>The code of the OCI error in the body, after checking its form.</summary>
    public string ErrorCode()
    {
        Assert.Equal("application/json", Header("Content-Type"));
        Assert.Equal(Body.Length.ToString(CultureInfo.InvariantCulture), Header("Content-Length"));
        using var json = JsonDocument.Parse(Body);
        var error = Assert.Single(json.RootElement.GetProperty("errors").EnumerateArray());
        Assert.NotEqual(string.Empty, error.GetProperty("message").GetString());
        return error.GetProperty("code").GetString()!;
    }
}

/// <summary>HTTP/1.1 by hand, so that a test sees framing and the end of a connection as they are.</summary>
internal sealed class RawConnection : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Socket _socket;
    private readonly byte[] _buffer = new byte[64 * 1024];
    private readonly CancellationTokenSource _patience = new(Patience);
    private int _start;
    private int _end;

    private RawConnection(Socket socket) => _socket = socket;

    public static async Task<RawConnection> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        return new RawConnection(socket);
    }

    public async Task<RawAnswer> SendAsync(string method, string target, params string[] headers)
    {
        await WriteRequestAsync(method, target, headers);
        return await ReadAnswerAsync(hasBody: method != "HEAD");
    }

    public Task WriteRequestAsync(string method, string target, params string[] headers) =>
        WriteAsync($"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:30000\r\n{string.Concat(headers.Select(h => h + "\r\n"))}\r\n");

    public async Task WriteAsync(string text)
    {
        ReadOnlyMemory<byte> rest = Encoding.Latin1.GetBytes(text);
        while (!rest.IsEmpty)
        {
            rest = rest[await _socket.SendAsync(rest, _patience.Token)..];
        }
    }

    public async Task<RawAnswer> ReadAnswerAsync(bool hasBody = true)
    {
        var answer = await ReadHeadAsync();
        if (!hasBody)
        {
            return answer;
        }

        var body = new byte[int.Parse(answer.Header("Content-Length") ?? throw new InvalidDataException("no Content-Length"), CultureInfo.InvariantCulture)];
        var read = await ReadAsync(body);
        return read == body.Length ? answer with { Body = body } : throw new EndOfStreamException($"body ended after {read} of {body.Length} bytes");
    }

    public async Task<RawAnswer> ReadHeadAsync()
    {
        var lines = new List<string>();
        while (await ReadLineAsync() is { Length: > 0 } line)
        {
            lines.Add(line);
        }

        var status = lines[0].Split(' ');
        var headers = lines.Skip(1).Select(l => l.Split(": ", 2)).ToLookup(p => p[0], p => p[1], StringComparer.OrdinalIgnoreCase);
        return new RawAnswer(status[0], int.Parse(status[1], CultureInfo.InvariantCulture), headers, []);
    }

    /// <summary>Fills the buffer as far as bytes come.</summary>
    public async Task<int> ReadAsync(Memory<byte> destination)
    {
        var read = 0;
        while (read < destination.Length && (_start < _end || await FillAsync()))
        {
            var length = Math.Min(destination.Length - read, _end - _start);
            _buffer.AsMemory(_start, length).CopyTo(destination[read..]);
            _start += length;
            read += length;
        }

        return read;
    }

    /// <summary>Waits until anything comes.</summary>
    public Task<bool> ReadAnyAsync() => FillAsync();

    /// <summary>Asks for something small; false when the connection ends instead, however.</summary>
    public async Task<bool> IsServedAsync()
    {
        try
        {
            await WriteRequestAsync("GET", "/v2/");
            return await FillAsync();
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>Reads to the end of the connection.</summary>
    public async Task<(byte[] Bytes, ConnectionEnd End)> ReadToEndAsync()
    {
        var bytes = new List<byte>();
        try
        {
            while (_start < _end || await FillAsync())
            {
                bytes.AddRange(_buffer.AsSpan(_start, _end - _start));
                _start = _end;
            }

            return ([.. bytes], ConnectionEnd.Fin);
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionReset)
        {
            return ([.. bytes], ConnectionEnd.Reset);
        }
    }

    /// <summary>Goes away the rude way.</summary>
    public void Reset() => _socket.Close(0);

    public ValueTask DisposeAsync()
    {
        _socket.Dispose();
        _patience.Dispose();
        return ValueTask.CompletedTask;
    }

    private async Task<string> ReadLineAsync()
    {
        var line = new StringBuilder();
        while (_start < _end || await FillAsync())
        {
            var c = (char)_buffer[_start++];
            if (c == '\n')
            {
                return line.ToString().TrimEnd('\r');
            }

            line.Append(c);
        }

        throw new EndOfStreamException($"connection ended in a line: '{line}'");
    }

    private async Task<bool> FillAsync()
    {
        _start = 0;
        _end = await _socket.ReceiveAsync(_buffer, _patience.Token);
        return _end > 0;
    }
}
