using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using k8s;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>
/// The Kubernetes API server, as the client library finds it from within a pod. The library's own client, and its reader
/// of kubeconfig files, would bring every type of the API along: 30 MiB of memory on each node for the few that we need.
/// </summary>
internal sealed class ApiServer : IDisposable
{
    private static readonly TimeSpan ConnectTimeout = TimeSpan.FromSeconds(10);

    private readonly KubernetesClientConfiguration _cluster;
    private readonly HttpClient _client;

    /// <exception cref="UriFormatException">The address of the server is none.</exception>
    public ApiServer(KubernetesClientConfiguration cluster)
    {
        _cluster = cluster;
        _client = new HttpClient(new SocketsHttpHandler { ConnectTimeout = ConnectTimeout, SslOptions = SslOf(cluster) })
        {
            BaseAddress = new Uri(cluster.Host.EndsWith('/') ? cluster.Host : $"{cluster.Host}/"),
            // Each request has its own.
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>Sends a request with the service account's token, and returns as soon as the head of the answer is here.</summary>
    /// <param name="method">Its method.</param>
    /// <param name="path">Path and query, relative to the server's address, as <c>api/v1/nodes</c>.</param>
    /// <param name="content">Its body; null for none.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    /// <exception cref="HttpRequestException">No answer.</exception>
    public async Task<HttpResponseMessage> SendAsync(HttpMethod method, string path, HttpContent? content, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(method, new Uri(path, UriKind.Relative)) { Content = content };
        request.Headers.TryAddWithoutValidation("Accept", "application/json");
        if (_cluster.TokenProvider is { } tokens)
        {
            // The library reads the token anew when it is old: it is replaced every hour.
            request.Headers.Authorization = await tokens.GetAuthenticationHeaderAsync(cancellationToken);
        }

        return await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
    }

    public void Dispose() => _client.Dispose();

    private static SslClientAuthenticationOptions SslOf(KubernetesClientConfiguration cluster)
    {
        var options = new SslClientAuthenticationOptions();
        if (cluster.SslCaCerts is { Count: > 0 } authorities)
        {
            // Authorities of clusters publish no lists of revoked certificates.
            options.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck, DisableCertificateDownloads = true };
            options.CertificateChainPolicy.CustomTrustStore.AddRange(authorities);

            // Where the bundle ends with an authority that another one has signed, that one is trusted all the same.
            options.RemoteCertificateValidationCallback = (_, _, chain, errors) => errors == SslPolicyErrors.None
                || (errors == SslPolicyErrors.RemoteCertificateChainErrors && chain is not null
                    && chain.ChainStatus.All(status => status.Status == X509ChainStatusFlags.PartialChain)
                    && chain.ChainElements.Any(element => authorities.Any(authority => authority.RawDataMemory.Span.SequenceEqual(element.Certificate.RawDataMemory.Span))));
        }

        return options;
    }
}
