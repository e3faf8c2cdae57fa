using System.Globalization;
using System.Net;
using System.Text.Json.Serialization.Metadata;
using k8s;
using Peerd.Node.Membership.Kubernetes;

namespace Peerd.Node.Hosting.Events;

/// <summary>
/// Writes events of the pod to the API server. One that happens again is counted in the event that is there already, as long
/// as the API server keeps it. Used by one caller at a time.
/// </summary>
internal sealed class EventApi : IDisposable
{
    private const string TimeFormat = "yyyy-MM-ddTHH:mm:ssZ";

    /// <summary>Of core/v1: <c>application/merge-patch+json</c> needs no more than the fields that change.</summary>
    private const string Patch = "application/merge-patch+json";

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    /// <summary>An older event is left alone: API servers keep events for an hour.</summary>
    private static readonly TimeSpan Lifetime = TimeSpan.FromMinutes(50);

    private readonly ApiServer _server;
    private readonly EventOptions _options;
    private readonly string _node;
    private readonly TimeProvider _time;
    private readonly Dictionary<PodEventKind, Written> _written = [];

    /// <param name="cluster">Where the API server is and how to log in.</param>
    /// <param name="options">Checked options, with a pod.</param>
    /// <param name="node">Name of this node.</param>
    /// <param name="time">The clock.</param>
    public EventApi(KubernetesClientConfiguration cluster, EventOptions options, string node, TimeProvider time)
    {
        _server = new ApiServer(cluster);
        _options = options;
        _node = node;
        _time = time;
    }

    /// <summary>Writes one event.</summary>
    /// <exception cref="HttpRequestException">No answer, or one that is no success.</exception>
    /// <exception cref="OperationCanceledException">Cancelled, or it took too long.</exception>
    public async Task WriteAsync(PodEvent what, DateTimeOffset at, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, deadline.Token);
        if (_written.TryGetValue(what.Kind, out var before) && at - before.First < Lifetime)
        {
            var patch = new EventPatch(what.Message, Format(at), before.Count + 1);
            if (await SendAsync(HttpMethod.Patch, $"/{before.Name}", patch, EventJson.Default.EventPatch, Patch, either.Token))
            {
                _written[what.Kind] = before with { Count = before.Count + 1 };
                return;
            }
        }

        var name = string.Create(CultureInfo.InvariantCulture, $"{_options.Pod}.{at.ToUnixTimeMilliseconds():x}{(int)what.Kind}");
        var document = new EventDocument(
            "v1",
            "Event",
            new EventMetadata(name, _options.Namespace),
            new InvolvedObject("v1", "Pod", _options.Pod, _options.Namespace, _options.Uid.Length > 0 ? _options.Uid : null),
            what.Reason,
            what.Message,
            what.Type,
            new EventSource("peerd", _node),
            Format(at),
            Format(at),
            1);
        if (!await SendAsync(HttpMethod.Post, string.Empty, document, EventJson.Default.EventDocument, "application/json", either.Token))
        {
            throw new HttpRequestException("the API server knows no such namespace", null, HttpStatusCode.NotFound);
        }

        _written[what.Kind] = new Written(name, at, 1);
    }

    public void Dispose() => _server.Dispose();

    private static string Format(DateTimeOffset at) => at.UtcDateTime.ToString(TimeFormat, CultureInfo.InvariantCulture);

    // False: there is no such thing (any more). A new one that is there already was written before, and the answer did not arrive.
    private async Task<bool> SendAsync<T>(HttpMethod method, string path, T content, JsonTypeInfo<T> type, string mediaType, CancellationToken cancellationToken)
    {
        using var body = JsonContent.Create(content, type, new System.Net.Http.Headers.MediaTypeHeaderValue(mediaType));
        using var response = await _server.SendAsync(method, $"api/v1/namespaces/{_options.Namespace}/events{path}?fieldManager=peerd", body, cancellationToken);
        return response.IsSuccessStatusCode || (response.StatusCode == HttpStatusCode.Conflict && method == HttpMethod.Post)
            || (response.StatusCode == HttpStatusCode.NotFound
                ? false
                : throw new HttpRequestException($"the API server answered {(int)response.StatusCode}", null, response.StatusCode));
    }

    /// <summary>An event that is there.</summary>
    private sealed record Written(string Name, DateTimeOffset First, int Count);
}
