using System.Diagnostics;
using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Authentication;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Origin;

/// <summary>Finds the addresses of a host; a seam for tests of what names resolve to.</summary>
internal delegate Task<IPAddress[]> HostResolver(string host, CancellationToken cancellationToken);

/// <summary>What came of one HTTP request: the message whose headers arrived, or why there is none.</summary>
internal readonly record struct OriginReply(HttpResponseMessage? Message, OriginFailure? Failure)
{
    /// <summary>Of a 401 that is not answered here: what the client could answer; null when there is nothing that it could.</summary>
    public AuthenticationHeaderValue? Challenge { get; init; }

    public static implicit operator OriginReply(OriginFailure failure) => new(null, failure);
}

/// <summary>Why there is no answer to pass on.</summary>
/// <param name="Error">What went wrong, without secrets.</param>
/// <param name="IsPassing">True when it may work a moment later: no connection, no headers in time.</param>
/// <param name="Status">A status that stands for the failure, 401 for example; 0 when the origin was not reached.</param>
/// <param name="RetryAfter">Pause that the origin asked for.</param>
/// <param name="Unasked">Why the origin was not asked; null when it was.</param>
internal sealed record OriginFailure(string Error, bool IsPassing = false, HttpStatusCode Status = default, TimeSpan? RetryAfter = null, UnaskedReason? Unasked = null);

/// <summary>
/// The connections to registries and to where they lead: one request at a time, no redirects, no cookies, no
/// decompression. Names are resolved here and the address that was checked is the one connected to. Thread-safe.
/// </summary>
internal sealed class OriginTransport : IDisposable
{
    /// <summary>When the next address of a host is tried, too, unless the one before has answered.</summary>
    private static readonly TimeSpan NextAddress = TimeSpan.FromMilliseconds(250);

    private readonly OriginSettings _settings;
    private readonly HostResolver _resolver;
    private readonly TimeProvider _time;
    private readonly BlobHosts _blobs;
    private readonly HashSet<(string Host, int Port)> _endpoints;
    private readonly HashSet<(string Host, int Port)> _localEndpoints;

    // Apart, because a connection that a local registry was allowed to open must not serve another registry.
    private readonly HttpMessageInvoker _guarded;
    private readonly HttpMessageInvoker _local;

    // Apart, because only these connections may go where the operator allowed blobs to be.
    private readonly HttpMessageInvoker _stores;

    /// <param name="settings">Time-outs, and the registries, which the operator may have put anywhere.</param>
    /// <param name="blobs">Which further addresses hosts of blobs may have.</param>
    /// <param name="resolver">Finds addresses.</param>
    /// <param name="time">Clock.</param>
    public OriginTransport(OriginSettings settings, BlobHosts blobs, HostResolver resolver, TimeProvider time)
    {
        _settings = settings;
        _resolver = resolver;
        _time = time;
        _blobs = blobs;
        var endpoints = settings.Registries.Values.ToLookup(endpoint => endpoint.IsLocal, endpoint => (endpoint.Address.IdnHost, endpoint.Address.Port));
        (_endpoints, _localEndpoints) = ([.. endpoints[false]], [.. endpoints[true]]);
        _guarded = new HttpMessageInvoker(Handler((context, cancellationToken) => ConnectAsync(
            context, address => IsProxy(context) || MayLeadTo(context.DnsEndPoint, address), cancellationToken)));
        _local = new HttpMessageInvoker(Handler((context, cancellationToken) => ConnectAsync(context, _ => true, cancellationToken)));

        // Here not even the name of a registry leads to any address, only one that is given by its address: the URL is a client's.
        _stores = new HttpMessageInvoker(Handler((context, cancellationToken) => ConnectAsync(
            context, address => IsProxy(context) || MayHaveBlobs(context.DnsEndPoint, address), cancellationToken)));
    }

    /// <summary>The addresses of a host in the order in which they are tried: its families by turns, for one of them may lead nowhere.</summary>
    public static IEnumerable<IPAddress> ByTurns(IEnumerable<IPAddress> addresses) =>
        addresses.GroupBy(address => address.AddressFamily).SelectMany(family => family.Index()).OrderBy(address => address.Index).Select(address => address.Item);

    /// <summary>Sends a request on behalf of a registry and waits for the headers, no longer than configured.</summary>
    public Task<OriginReply> SendAsync(RegistryEndpoint endpoint, HttpRequestMessage request, CancellationToken cancellationToken) =>
        endpoint.IsLocal ? SendAsync(_local, request, cancellationToken)
        : IsForbidden(request.RequestUri!, MayLeadTo) ? Task.FromResult<OriginReply>(Forbidden(request.RequestUri!.Authority))
        : SendAsync(_guarded, request, cancellationToken);

    /// <summary>The same for a URL that a client gave, whose host was found allowed.</summary>
    public Task<OriginReply> SendToStoreAsync(HttpRequestMessage request, CancellationToken cancellationToken) =>
        IsForbidden(request.RequestUri!, MayHaveBlobs) ? Task.FromResult<OriginReply>(Forbidden(request.RequestUri!.Authority)) : SendAsync(_stores, request, cancellationToken);

    // Of a URL that says its address. A proxy would go there itself; which address a name has, it finds out, and we cannot.
    private static bool IsForbidden(Uri url, Func<DnsEndPoint, IPAddress, bool> isAllowed) =>
        IPAddress.TryParse(url.IdnHost.TrimEnd('.'), out var address) && !isAllowed(new DnsEndPoint(url.IdnHost, url.Port), address);

    private static OriginFailure Forbidden(string host) => new($"no connection to {host}: its address is not allowed");

    private bool MayLeadTo(DnsEndPoint target, IPAddress address) => _endpoints.Contains((target.Host, target.Port)) || !AddressPolicy.IsForbidden(address);

    private bool MayHaveBlobs(DnsEndPoint target, IPAddress address) => _localEndpoints.Contains((target.Host, target.Port)) || _blobs.IsAllowed(address);

    private async Task<OriginReply> SendAsync(HttpMessageInvoker invoker, HttpRequestMessage request, CancellationToken cancellationToken)
    {
        var host = request.RequestUri!.Authority;
        using var timeout = new CancellationTokenSource(_settings.HeaderTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);

        // Neither path nor query: they may be secret.
        using var span = Traces.Step("origin", ActivityKind.Client)?.SetTag(Traces.Method, request.Method.Method).SetTag(Traces.Host, request.RequestUri.Host);
        try
        {
            var message = await invoker.SendAsync(request, either.Token);
            span?.SetTag(Traces.Status, (int)message.StatusCode);
            return new OriginReply(message, null);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            return new OriginFailure(timeout.IsCancellationRequested ? $"{host} did not answer in time" : $"no connection to {host} in time", IsPassing: true);
        }
        catch (HttpRequestException e)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return Describe(host, e);
        }
        catch (IOException)
        {
            cancellationToken.ThrowIfCancellationRequested();
            return new OriginFailure($"the connection to {host} broke before an answer", IsPassing: true);
        }
    }

    public void Dispose()
    {
        _guarded.Dispose();
        _local.Dispose();
        _stores.Dispose();
    }

    // Own words: messages of exceptions are not ours to promise that they hold no secret.
    private static OriginFailure Describe(string host, HttpRequestException e)
    {
        for (Exception? cause = e; cause is not null; cause = cause.InnerException)
        {
            switch (cause)
            {
                case ForbiddenAddressException:
                    return Forbidden(host);
                case AuthenticationException:
                    return new OriginFailure($"no secure connection to {host}: its certificate or TLS settings are not accepted");
                case SocketException socket:
                    return new OriginFailure($"no connection to {host}: {socket.SocketErrorCode}", IsPassing: true);
            }
        }

        return e.HttpRequestError is HttpRequestError.InvalidResponse or HttpRequestError.ConfigurationLimitExceeded or HttpRequestError.VersionNegotiationError
            ? new OriginFailure($"{host} does not speak HTTP properly: {e.HttpRequestError}")
            : new OriginFailure($"no answer from {host}: {e.HttpRequestError}", IsPassing: true);
    }

    private SocketsHttpHandler Handler(Func<SocketsHttpConnectionContext, CancellationToken, ValueTask<Stream>> connect) => new()
    {
        ActivityHeadersPropagator = null,
        AllowAutoRedirect = false,
        AutomaticDecompression = DecompressionMethods.None,
        ConnectCallback = connect,
        ConnectTimeout = _settings.ConnectTimeout,
        MaxResponseDrainSize = 64 * 1024,
        MaxResponseHeadersLength = 64,
        PooledConnectionIdleTimeout = TimeSpan.FromMinutes(1),
        PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        ResponseDrainTimeout = TimeSpan.FromSeconds(1),
        UseCookies = false,
    };

    // Which may be anywhere. Only the tunnel to a proxy sends CONNECT.
    private static bool IsProxy(SocketsHttpConnectionContext context)
    {
        var target = context.DnsEndPoint;
        if (context.InitialRequestMessage.Method == HttpMethod.Connect)
        {
            return true;
        }

        var url = context.InitialRequestMessage.RequestUri;
        var proxy = url is null ? null : HttpClient.DefaultProxy.GetProxy(url);
        return proxy is not null && proxy != url && proxy.Port == target.Port && string.Equals(proxy.IdnHost, target.Host, StringComparison.OrdinalIgnoreCase);
    }

    // As RFC 8305 tells: an address that does not answer takes a moment from the next one, and not all the time there is.
    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, Func<IPAddress, bool> isAllowed, CancellationToken cancellationToken)
    {
        var (host, port) = (context.DnsEndPoint.Host, context.DnsEndPoint.Port);
        IPAddress[] addresses = IPAddress.TryParse(host, out var literal) ? [literal] : await _resolver(host, cancellationToken);
        var untried = new Queue<IPAddress>(ByTurns(addresses.Where(isAllowed)));
        Exception failure = untried.Count < addresses.Length ? new ForbiddenAddressException() : new SocketException((int)SocketError.HostNotFound);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        var attempts = new List<Task<Socket>>();
        try
        {
            while (untried.Count + attempts.Count > 0)
            {
                if (untried.TryDequeue(out var address))
                {
                    attempts.Add(ConnectAsync(address, port, end.Token));
                }

                var first = await Task.WhenAny(untried.Count > 0 ? [.. attempts, Task.Delay(NextAddress, _time, end.Token)] : attempts);
                if (first is Task<Socket> attempt)
                {
                    attempts.Remove(attempt);
                    try
                    {
                        return new NetworkStream(await attempt, ownsSocket: true);
                    }
                    catch (SocketException e)
                    {
                        failure = e;
                    }
                }
            }

            throw failure;
        }
        finally
        {
            await end.CancelAsync();
            foreach (var attempt in attempts)
            {
                try
                {
                    (await attempt).Dispose();
                }
                catch (Exception e) when (e is SocketException or OperationCanceledException)
                {
                }
            }
        }
    }

    private static async Task<Socket> ConnectAsync(IPAddress address, int port, CancellationToken cancellationToken)
    {
        var socket = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(address, port, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>A name that a registry led us to resolves to nothing but addresses that it must not lead to.</summary>
    private sealed class ForbiddenAddressException() : IOException("address not allowed");
}
