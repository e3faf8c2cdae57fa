using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>A connection of a caller that takes no answers: its windows are 0, so that it gets their heads only.</summary>
internal sealed class RawHttp2 : IDisposable
{
    /// <summary>What a connection begins with, see RFC 9113.</summary>
    public static readonly byte[] Preface = Encoding.ASCII.GetBytes("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");

    private const byte Data = 0;
    private const byte Headers = 1;
    private const byte ResetStream = 3;
    private const byte Settings = 4;
    private const byte EndStream = 1;
    private const byte EndHeaders = 4;

    private readonly NetworkStream _stream;
    private readonly HashSet<int> _answered = [];
    private int _next = 1;

    private RawHttp2(Socket socket) => _stream = new NetworkStream(socket, ownsSocket: true);

    public static async Task<RawHttp2> ConnectAsync(IPEndPoint node)
    {
        var socket = new Socket(node.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(node);
        var connection = new RawHttp2(socket);

        // SETTINGS_INITIAL_WINDOW_SIZE is 0. The settings of the other end are accepted before they are here.
        await connection._stream.WriteAsync((byte[])[.. Preface, .. Frame(Settings, 0, 0, [0, 4, 0, 0, 0, 0]), .. Frame(Settings, 1, 0, [])]);
        return connection;
    }

    public static byte[] Frame(byte type, byte flags, int stream, ReadOnlySpan<byte> payload)
    {
        var frame = new byte[9 + payload.Length];
        BinaryPrimitives.WriteInt32BigEndian(frame, payload.Length << 8);
        (frame[3], frame[4]) = (type, flags);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(5), stream);
        payload.CopyTo(frame.AsSpan(9));
        return frame;
    }

    /// <summary>Sends a call with one message; does not wait for its answer.</summary>
    public async Task CallAsync(string path, byte[] message, params (string Name, string Value)[] headers)
    {
        // POST and http of the static table, then literals.
        byte[] block = [0x83, 0x86, .. Literal(":path", path), .. Literal(":authority", "x"), .. Literal("content-type", "application/grpc"), .. Literal("te", "trailers"), .. headers.SelectMany(header => Literal(header.Name, header.Value))];
        var framed = new byte[5 + message.Length];
        BinaryPrimitives.WriteInt32BigEndian(framed.AsSpan(1), message.Length);
        message.CopyTo(framed, 5);
        await _stream.WriteAsync((byte[])[.. Frame(Headers, EndHeaders, _next, block), .. Frame(Data, EndStream, _next, framed)]);
        _next += 2;
    }

    /// <summary>Waits until each call has the head of an answer, whatever that is, or is ended.</summary>
    public async Task ReadHeadsAsync()
    {
        using var patience = new CancellationTokenSource(Wait.Longest);
        var head = new byte[9];
        while (_answered.Count < _next / 2)
        {
            await _stream.ReadExactlyAsync(head, patience.Token);
            await _stream.ReadExactlyAsync(new byte[BinaryPrimitives.ReadInt32BigEndian(head) >>> 8], patience.Token);
            if (head[3] is Headers or ResetStream)
            {
                _answered.Add(BinaryPrimitives.ReadInt32BigEndian(head.AsSpan(5)));
            }
        }
    }

    public void Dispose() => _stream.Dispose();

    private static byte[] Literal(string name, string value) =>
        [0, (byte)name.Length, .. Encoding.ASCII.GetBytes(name), (byte)value.Length, .. Encoding.ASCII.GetBytes(value)];
}
