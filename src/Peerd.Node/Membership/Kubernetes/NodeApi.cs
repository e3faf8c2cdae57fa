using System.Globalization;
using System.Net;
using System.Runtime.CompilerServices;
using System.Text.Json;
using k8s;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>The API server cannot go on from where the watch stood: everything is to be listed again.</summary>
internal sealed class WatchExpiredException(string message) : IOException(message);

/// <summary>
/// Reads the nodes of a cluster from its API server: lists in parts, and watches. Addresses, certificates and credentials come
/// from the Kubernetes client; the documents are read here, because its watch needs reflection. Used by one caller at a time.
/// </summary>
internal sealed class NodeApi : IDisposable
{
    private const int PartSize = 500;

    /// <summary>Far more than the largest cluster has: a list that goes on after that is one without end.</summary>
    private const int MostParts = 200;

    /// <summary>Until an answer begins.</summary>
    internal static readonly TimeSpan HeadTimeout = TimeSpan.FromSeconds(15);

    /// <summary>Until one part of a list is here.</summary>
    internal static readonly TimeSpan ListTimeout = TimeSpan.FromSeconds(60);

    /// <summary>How much longer than asked for a watch may last: then the connection is dead, and nobody has said so.</summary>
    internal static readonly TimeSpan WatchMargin = TimeSpan.FromSeconds(15);

    private readonly ApiServer _server;
    private readonly string _selector;
    private readonly string _excludeLabel;
    private readonly TimeProvider _time;

    /// <param name="cluster">Where the API server is and how to log in.</param>
    /// <param name="options">Checked options.</param>
    /// <param name="time">The clock.</param>
    public NodeApi(KubernetesClientConfiguration cluster, MembershipOptions options, TimeProvider time)
    {
        _server = new ApiServer(cluster);
        _selector = options.Selector;
        _excludeLabel = options.ExcludeLabel;
        _time = time;
    }

    /// <summary>All nodes, and from where on they can be watched.</summary>
    /// <exception cref="HttpRequestException">No answer, or another one than 200.</exception>
    /// <exception cref="IOException">The answer broke off.</exception>
    /// <exception cref="JsonException">The answer is no list of nodes.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or it took too long.</exception>
    public async Task<(List<NodeFacts> Nodes, string ResourceVersion)> ListAsync(CancellationToken cancellationToken)
    {
        var nodes = new List<NodeFacts>();
        string? rest = null;
        for (var parts = 1; ; parts++)
        {
            using var deadline = new CancellationTokenSource(ListTimeout, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
            using var response = await SendAsync($"limit={PartSize}{(rest is null ? string.Empty : $"&continue={Uri.EscapeDataString(rest)}")}", either.Token);
            await using var body = await response.Content.ReadAsStreamAsync(either.Token);
            var part = await JsonSerializer.DeserializeAsync(body, NodeJson.Default.NodeListDocument, either.Token);
            if (part is not { Metadata.ResourceVersion: { Length: > 0 } version, Items: { } items } || items.Contains(null!))
            {
                throw new JsonException("the API server sent no list of nodes");
            }

            nodes.AddRange(items.Select(node => NodeFacts.Of(node, _excludeLabel)).OfType<NodeFacts>());
            if (part.Metadata.Continue is not { Length: > 0 } next)
            {
                return (nodes, version);
            }

            rest = next != rest && parts < MostParts ? next : throw new JsonException("the API server sends a list without end");
        }
    }

    /// <summary>What has changed since then, as it comes; ends after a while, or when the API server wants it to.</summary>
    /// <param name="resourceVersion">Then.</param>
    /// <param name="length">For how long it is asked for, in whole seconds.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="WatchExpiredException">That is too long ago.</exception>
    /// <exception cref="HttpRequestException">No answer, or another one than 200.</exception>
    /// <exception cref="IOException">The answer broke off.</exception>
    /// <exception cref="JsonException">A line is no change of a node.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or nothing came for much longer than asked for.</exception>
    public async IAsyncEnumerable<NodeChange> WatchAsync(string resourceVersion, TimeSpan length, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(length + WatchMargin, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        var query = string.Create(
            CultureInfo.InvariantCulture,
            $"watch=true&allowWatchBookmarks=true&timeoutSeconds={Math.Ceiling(length.TotalSeconds):0}&resourceVersion={Uri.EscapeDataString(resourceVersion)}");
        using var response = await SendAsync(query, either.Token);
        await using var body = await response.Content.ReadAsStreamAsync(either.Token);
        await foreach (var line in JsonSerializer.DeserializeAsyncEnumerable(body, NodeJson.Default.WatchDocument, topLevelValues: true, either.Token))
        {
            yield return ChangeOf(line);
        }
    }

    public void Dispose() => _server.Dispose();

    private NodeChange ChangeOf(WatchDocument? line)
    {
        if (line is { Type: "ERROR" })
        {
            // 410 as a rule; whatever else it is, nothing can be said of what was missed.
            throw new WatchExpiredException($"the API server ended the watch: {line.Object?.Code} {line.Object?.Message}");
        }

        if (line is not { Object.Metadata: { ResourceVersion: { Length: > 0 } version } metadata })
        {
            throw new JsonException("the API server sent a change of nothing");
        }

        return line.Type switch
        {
            "BOOKMARK" => new NodeChange(version, null, null),
            "DELETED" => new NodeChange(version, null, metadata.Name),
            _ => new NodeChange(version, NodeFacts.Of(line.Object, _excludeLabel), null),
        };
    }

    private async Task<HttpResponseMessage> SendAsync(string query, CancellationToken cancellationToken)
    {
        var selector = _selector.Length > 0 ? $"&labelSelector={Uri.EscapeDataString(_selector)}" : string.Empty;
        using var head = new CancellationTokenSource(HeadTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, head.Token);
        var response = await _server.SendAsync(HttpMethod.Get, $"api/v1/nodes?{query}{selector}", content: null, either.Token);
        if (response.StatusCode == HttpStatusCode.OK)
        {
            return response;
        }

        using (response)
        {
            var message = $"the API server answered {(int)response.StatusCode}";
            throw response.StatusCode == HttpStatusCode.Gone ? new WatchExpiredException(message) : new HttpRequestException(message, null, response.StatusCode);
        }
    }
}

/// <summary>One change of the nodes of a cluster.</summary>
/// <param name="ResourceVersion">Where the watch stands now.</param>
/// <param name="Node">The node that is new, or as it is now; null when there is none.</param>
/// <param name="Gone">Name of the node that is gone; null when there is none.</param>
internal sealed record NodeChange(string ResourceVersion, NodeFacts? Node, string? Gone);
