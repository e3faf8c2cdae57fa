using System.Net;
using System.Net.Sockets;
using System.Text;
using Peerd.Node.Limits;

namespace Peerd.Node.Facade;

/// <summary>
/// The request by which a node sees that its own facade answers: <c>/v2/</c>, as containerd begins, over a connection of its own. It takes
/// the way of all requests and counts as none of a client, nor does its connection. Thread-safe.
/// </summary>
/// <param name="connections">The connections for it, which are beside those of clients.</param>
internal sealed class OwnRequest(OwnConnections connections)
{
    private const int LongestAnswer = 4096;

    // Nobody else can have his requests uncounted.
    private readonly string _id = $"own-{Guid.NewGuid():N}";

    /// <summary>Whether a request is one of these, by the name that it has.</summary>
    public bool Is(FacadeRequest request) => request.Id == _id;

    /// <summary>Asks; null when it was answered as it should be, else what is wrong.</summary>
    /// <param name="facade">Where the facade is reached.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="OperationCanceledException">Cancelled.</exception>
    public async Task<string?> FaultAsync(IPEndPoint facade, CancellationToken cancellationToken)
    {
        var request = Encoding.ASCII.GetBytes($"GET /v2/ HTTP/1.1\r\nHost: localhost\r\n{FacadeRequest.IdHeader}: {_id}\r\nConnection: close\r\n\r\n");
        try
        {
            using var connection = await connections.ConnectAsync(facade, cancellationToken);
            for (var sent = 0; sent < request.Length;)
            {
                sent += await connection.Socket.SendAsync(request.AsMemory(sent), SocketFlags.None, cancellationToken);
            }

            return FaultOf(await ReadAsync(connection.Socket, cancellationToken));
        }
        catch (SocketException e)
        {
            return $"it cannot be reached ({e.SocketErrorCode})";
        }
    }

    private static async Task<string> ReadAsync(Socket socket, CancellationToken cancellationToken)
    {
        var answer = new byte[LongestAnswer];
        var length = 0;
        while (length < answer.Length && await socket.ReceiveAsync(answer.AsMemory(length), SocketFlags.None, cancellationToken) is > 0 and var read)
        {
            length += read;
        }

        return Encoding.ASCII.GetString(answer, 0, length);
    }

    // The name comes back from a facade, and from no other server that might have taken the port.
    private string? FaultOf(string answer) =>
        answer.Length == 0 ? "it closes connections without an answer"
        : !answer.Contains(_id, StringComparison.Ordinal) ? "what answers there is no facade"
        : !answer.StartsWith("HTTP/1.1 200 ", StringComparison.Ordinal) ? $"it answers {answer.Split(' ', 3).ElementAtOrDefault(1)}"
        : null;
}
