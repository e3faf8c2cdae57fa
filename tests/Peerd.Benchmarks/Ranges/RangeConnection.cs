using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Unicode;
using Peerd.Contracts;

namespace Peerd.Benchmarks.Ranges;

/// <summary>
/// One HTTP/1.1 connection that asks for ranges one after the other as overlaybd does, and checks the head of every answer.
/// It blocks: nothing else stands between the kernel and the clock. Not thread-safe.
/// </summary>
internal sealed class RangeConnection : IDisposable
{
    private const int MostHead = 16 << 10;
    private const int MostRange = 64;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Uri _url;
    private readonly long _size;
    private readonly byte[] _request;
    private readonly int _fixedLength;
    private readonly byte[] _answer;
    private long _since;
    private int _filled;
    private int _head;

    private RangeConnection(Socket socket, Uri url, long size, int longest)
    {
        Socket = socket;
        _url = url;
        _size = size;
        var beginning = Encoding.ASCII.GetBytes($"GET {url.PathAndQuery} HTTP/1.1\r\nHost: {url.Authority}\r\nUser-Agent: overlaybd/1.0\r\nConnection: keep-alive\r\nRange: bytes=");
        _request = [.. beginning, .. new byte[MostRange]];
        _fixedLength = beginning.Length;
        _answer = new byte[MostHead + longest];
    }

    /// <summary>To wait for several connections at once.</summary>
    public Socket Socket { get; }

    /// <summary>What was asked for last.</summary>
    public ByteRange Range { get; private set; }

    /// <summary>Its bytes, when all of them are here.</summary>
    public ReadOnlySpan<byte> Body => _answer.AsSpan(_head, (int)Range.Length);

    /// <summary>From sending the request, or when that was due, to the last byte of the answer.</summary>
    public double Milliseconds { get; private set; }

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

    /// <summary>Asks for a range; the former answer must be complete.</summary>
    /// <param name="range">What is asked for.</param>
    /// <param name="since">From when its time is taken, as <see cref="Stopwatch.GetTimestamp"/> tells it; from now on when it is not given.</param>
    public void Ask(ByteRange range, long? since = null)
    {
        (Range, _filled, _head) = (range, 0, 0);
        Utf8.TryWrite(_request.AsSpan(_fixedLength), $"{range.Offset}-{range.End - 1}\r\n\r\n", out var length);
        _since = since ?? Stopwatch.GetTimestamp();
        Socket.Send(_request.AsSpan(0, _fixedLength + length));
    }

    /// <summary>Waits for the next bytes of the answer, and takes all that are here; true when it is complete.</summary>
    public bool Receive()
    {
        var received = Socket.Receive(_answer.AsSpan(_filled));
        _filled += received > 0 ? received : throw new InvalidDataException($"{_url} ended the connection within an answer, or its head is too long");
        if (_head == 0 && _answer.AsSpan(0, _filled).IndexOf("\r\n\r\n"u8) is >= 0 and var end)
        {
            _head = end + 4;
            Check(_answer.AsSpan(0, _head));
        }

        if (_head == 0 || _filled < _head + Range.Length)
        {
            return false;
        }

        Milliseconds = Stopwatch.GetElapsedTime(_since).TotalMilliseconds;
        return _filled == _head + Range.Length ? true : throw new InvalidDataException($"{_url} sent more than {Range}");
    }

    public void Dispose() => Socket.Dispose();

    // Not asynchronously: a socket that was once used so only pretends to block afterwards.
    private static void Connect(Socket socket, Uri url)
    {
        socket.NoDelay = true;
        socket.ReceiveTimeout = (int)Patience.TotalMilliseconds;
        socket.Connect(IPAddress.Parse(url.Host), url.Port);
    }

    private void Check(ReadOnlySpan<byte> head)
    {
        Span<byte> contentRange = stackalloc byte[2 * MostRange];
        Span<byte> contentLength = stackalloc byte[MostRange];
        Utf8.TryWrite(contentRange, $"content-range: bytes {Range.Offset}-{Range.End - 1}/{_size}", out var rangeLength);
        Utf8.TryWrite(contentLength, $"content-length: {Range.Length}", out var lengthLength);
        if (!head.StartsWith("HTTP/1.1 206 "u8) || !HasLine(head, contentRange[..rangeLength]) || !HasLine(head, contentLength[..lengthLength]))
        {
            throw new InvalidDataException($"{_url} answered wrongly when asked for {Range} of {_size} bytes:\n{Encoding.UTF8.GetString(head)}");
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
