using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Unicode;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>
/// One HTTP/1.1 connection that reads ranges one after the other as overlaybd does, and checks every answer. It blocks its
/// thread: nothing else stands between the kernel and the clock. Used by one thread at a time.
/// </summary>
internal sealed class RangeConnection : IDisposable
{
    private const int MostHead = 16 << 10;
    private const int MostRange = 64;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Socket _socket;
    private readonly Uri _url;
    private readonly long _size;
    private readonly byte[] _request;
    private readonly int _fixedLength;
    private readonly byte[] _answer;

    private RangeConnection(Socket socket, Uri url, long size, int longest)
    {
        _socket = socket;
        _url = url;
        _size = size;
        var beginning = Encoding.ASCII.GetBytes($"GET {url.PathAndQuery} HTTP/1.1\r\nHost: {url.Authority}\r\nUser-Agent: overlaybd/1.0\r\nConnection: keep-alive\r\nRange: bytes=");
        _request = [.. beginning, .. new byte[MostRange]];
        _fixedLength = beginning.Length;
        _answer = new byte[MostHead + longest];
    }

    /// <summary>Connects.</summary>
    /// <param name="server">Who is asked.</param>
    /// <param name="size">Bytes of the content, as answers must tell it.</param>
    /// <param name="longest">Bytes of the longest range.</param>
    public static async Task<RangeConnection> OpenAsync(RangeServer server, long size, int longest)
    {
        var socket = server.Host is { } host ? await host.OpenSocketAsync() : new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            Connect(socket, server.Url);
            return new RangeConnection(socket, server.Url, size, longest);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Reads a range to its end; valid until the next one.</summary>
    public ReadOnlySpan<byte> Read(ByteRange range)
    {
        Send(range);
        var filled = 0;
        int head;
        while ((head = _answer.AsSpan(0, filled).IndexOf("\r\n\r\n"u8)) < 0)
        {
            filled += Receive(filled);
        }

        head += 4;
        Check(_answer.AsSpan(0, head), range);
        var end = head + (int)range.Length;
        while (filled < end)
        {
            filled += Receive(filled);
        }

        return filled == end ? _answer.AsSpan(head, (int)range.Length) : throw new InvalidDataException($"{_url} sent more than {range}");
    }

    public void Dispose() => _socket.Dispose();

    // Not asynchronously: a socket that was once used so only pretends to block afterwards.
    private static void Connect(Socket socket, Uri url)
    {
        socket.NoDelay = true;
        socket.ReceiveTimeout = (int)Patience.TotalMilliseconds;
        socket.Connect(IPAddress.Parse(url.Host), url.Port);
    }

    private void Send(ByteRange range)
    {
        Utf8.TryWrite(_request.AsSpan(_fixedLength), $"{range.Offset}-{range.End - 1}\r\n\r\n", out var length);
        _socket.Send(_request.AsSpan(0, _fixedLength + length));
    }

    private int Receive(int filled)
    {
        var received = filled < _answer.Length ? _socket.Receive(_answer.AsSpan(filled)) : throw new InvalidDataException($"{_url} sent more than it was asked for");
        return received > 0 ? received : throw new InvalidDataException($"{_url} ended the connection within an answer");
    }

    private void Check(ReadOnlySpan<byte> head, ByteRange range)
    {
        Span<byte> contentRange = stackalloc byte[2 * MostRange];
        Span<byte> contentLength = stackalloc byte[MostRange];
        Utf8.TryWrite(contentRange, $"content-range: bytes {range.Offset}-{range.End - 1}/{_size}", out var rangeLength);
        Utf8.TryWrite(contentLength, $"content-length: {range.Length}", out var lengthLength);
        if (!head.StartsWith("HTTP/1.1 206 "u8) || !HasLine(head, contentRange[..rangeLength]) || !HasLine(head, contentLength[..lengthLength]))
        {
            throw new InvalidDataException($"{_url} answered wrongly when asked for {range} of {_size} bytes:\n{Encoding.UTF8.GetString(head)}");
        }
    }

    private static bool HasLine(ReadOnlySpan<byte> head, ReadOnlySpan<byte> line)
    {
        foreach (var part in head.Split("\r\n"u8))
        {
            if (Ascii.EqualsIgnoreCase(head[part], line))
            {
                return true;
            }
        }

        return false;
    }
}
