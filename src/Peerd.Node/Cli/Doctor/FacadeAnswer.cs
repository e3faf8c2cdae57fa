using System.Net;
using System.Net.Sockets;
using Peerd.Node.Facade;

namespace Peerd.Node.Cli.Doctor;

/// <summary>What is where a facade should be: a facade when all are null, else one is not.</summary>
/// <param name="Stranger">What another server says there.</param>
/// <param name="Silence">How what takes connections there does not answer: any server, also a facade that hangs or has all the connections that it may.</param>
/// <param name="Failure">Why nothing takes connections there.</param>
internal sealed record FacadeAnswer(string? Stranger = null, string? Silence = null, string? Failure = null)
{
    // A facade that has all the connections that it may answers or closes by then.
    private static readonly TimeSpan AnswerTime = FacadeConnections.Patience + TimeSpan.FromSeconds(3);

    /// <summary>Asks there as containerd begins. Only a facade answers as a registry does and gives the name of the request back, also when it has too much to do.</summary>
    public static async Task<FacadeAnswer> OfAsync(Uri facade, TimeProvider time, CancellationToken cancellationToken)
    {
        var id = $"doctor-{Guid.NewGuid():N}";
        var isConnected = false;
        using var late = new CancellationTokenSource(AnswerTime, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellationToken);
        using var http = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            AllowAutoRedirect = false,
            ConnectCallback = async (context, token) =>
            {
                var stream = await ConnectAsync(context.DnsEndPoint, token);
                isConnected = true;
                return stream;
            },
        })
        {
            Timeout = Timeout.InfiniteTimeSpan,
        };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(facade, "/v2/"));
        request.Headers.Add(FacadeRequest.IdHeader, id);
        try
        {
            using var response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            var isFacade = response.Headers.Contains(RegistryHeaders.ApiVersion) && response.Headers.TryGetValues(FacadeRequest.IdHeader, out var ids) && ids.Contains(id, StringComparer.Ordinal);
            return isFacade ? new FacadeAnswer() : new FacadeAnswer(Stranger: $"it said {(int)response.StatusCode} to /v2/{(response.IsSuccessStatusCode ? ", but not as a facade does" : string.Empty)}");
        }
        catch (HttpRequestException exception) when (exception.HttpRequestError is HttpRequestError.InvalidResponse or HttpRequestError.SecureConnectionError)
        {
            return new FacadeAnswer(Stranger: $"it does not speak {facade.Scheme.ToUpperInvariant()}");
        }
        catch (HttpRequestException exception)
        {
            return isConnected ? new FacadeAnswer(Silence: "it closes connections without an answer") : new FacadeAnswer(Failure: exception.Message);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            var reason = $"no answer within {AnswerTime.TotalSeconds:0} s";
            return isConnected ? new FacadeAnswer(Silence: reason) : new FacadeAnswer(Failure: reason);
        }
    }

    private static async Task<Stream> ConnectAsync(DnsEndPoint address, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
