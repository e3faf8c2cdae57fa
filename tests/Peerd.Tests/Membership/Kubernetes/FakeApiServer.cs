using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>
/// The nodes and events of an API server, on loopback: lists in parts, chunked watches with bookmarks that end after a while, versions
/// that are forgotten (410), silence, resets, and whatever else one does to its clients. Thread-safe.
/// </summary>
internal sealed class FakeApiServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Lock _lock = new();
    private readonly ConcurrentQueue<string> _requests = new();
    private readonly SortedDictionary<string, JsonObject> _podEvents = new(StringComparer.Ordinal);
    private WatchEnd _watches = new();
    private int _told;
    private int _begunWatches;

    private FakeApiServer(X509Certificate2? certificate, int port)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, port, listen =>
        {
            if (certificate is not null)
            {
                listen.UseHttps(certificate);
            }
        }));
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(100));
        _app = builder.Build();
        _app.Run(HandleAsync);
    }

    public string Url { get; private set; } = string.Empty;

    /// <summary>The nodes.</summary>
    public FakeNodes Nodes { get; } = new();

    /// <summary>The token that requests must bring; null: none is asked for.</summary>
    public string? Token { get; set; }

    /// <summary>Targets of all requests so far.</summary>
    public IReadOnlyList<string> Requests => [.. _requests];

    /// <summary>How many parts of lists of nodes were asked for.</summary>
    public int Lists => Requests.Count(request => request.StartsWith("/api/v1/nodes", StringComparison.Ordinal) && !request.Contains("watch=true", StringComparison.Ordinal));

    /// <summary>Targets of all watches so far.</summary>
    public IReadOnlyList<string> Watches => [.. Requests.Where(request => request.Contains("watch=true", StringComparison.Ordinal))];

    /// <summary>How many watches had the head of their answer sent.</summary>
    public int BegunWatches => Volatile.Read(ref _begunWatches);

    /// <summary>Up to where some watch was told.</summary>
    public int Told => Volatile.Read(ref _told);

    /// <summary>Answers each request with this status; 0: properly.</summary>
    public int Status { get; set; }

    /// <summary>Requests about events wait until it is completed; null: they do not.</summary>
    public TaskCompletionSource? HoldEvents { get; set; }

    /// <summary>Requests for lists of nodes wait until it is completed; null: they do not.</summary>
    public TaskCompletionSource? HoldLists { get; set; }

    /// <summary>What it answers whoever asks for a list of nodes; null: the nodes.</summary>
    public string? ListBody { get; set; }

    /// <summary>The second half of a part of a list waits until it is completed; null: it does not.</summary>
    public TaskCompletionSource? HoldHalfLists { get; set; }

    /// <summary>Watches have no answer until it is completed; null: they do.</summary>
    public TaskCompletionSource? HoldWatches { get; set; }

    /// <summary>Ends watches as soon as they begin.</summary>
    public bool EndsWatchesAtOnce { get; set; }

    /// <summary>Tells by the status of its answer that a version is forgotten, as proxies and old servers do, not by a line.</summary>
    public bool AnswersGone { get; set; }

    /// <summary>Called when a part of a list is on its way.</summary>
    public Action? PartSent { get; set; }

    /// <summary>Events of pods, by name.</summary>
    public IReadOnlyList<JsonObject> PodEvents
    {
        get
        {
            lock (_lock)
            {
                return [.. _podEvents.Values.Select(item => item.DeepClone().AsObject())];
            }
        }
    }

    /// <summary>Their time is over.</summary>
    public void ForgetPodEvents()
    {
        lock (_lock)
        {
            _podEvents.Clear();
        }
    }

    /// <summary>Starts a server without nodes.</summary>
    /// <param name="certificate">With its key, for TLS; null: clear text.</param>
    /// <param name="port">Where, on loopback; 0: where nobody else is.</param>
    public static async Task<FakeApiServer> StartAsync(X509Certificate2? certificate = null, int port = 0)
    {
        var server = new FakeApiServer(certificate, port);
        await server._app.StartAsync();
        server.Url = server._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        return server;
    }

    /// <summary>A node comes, or changes.</summary>
    public void Set(string name, string address, string zone = "", bool isReady = true, params (string Name, string Value)[] labels)
    {
        var node = new JsonObject
        {
            ["metadata"] = new JsonObject
            {
                ["name"] = name,
                ["labels"] = new JsonObject([.. labels.Append(("topology.kubernetes.io/zone", zone)).Select(label => KeyValuePair.Create(label.Item1, (JsonNode?)label.Item2))]),
                ["annotations"] = new JsonObject { ["node.alpha.kubernetes.io/ttl"] = "0" },
            },
            ["spec"] = new JsonObject { ["podCIDR"] = "10.244.0.0/24" },
            ["status"] = new JsonObject
            {
                ["addresses"] = new JsonArray(Address("Hostname", name), Address("ExternalIP", "203.0.113.1"), Address("InternalIP", address), Address("InternalIP", "fd00::1")),
                ["conditions"] = new JsonArray(Condition("MemoryPressure", "False"), Condition("Ready", isReady ? "True" : "Unknown")),
                ["images"] = new JsonArray(new JsonObject { ["names"] = new JsonArray("registry.test/app@sha256:0"), ["sizeBytes"] = 1 }),
            },
        };
        Nodes.Set(node);
    }

    /// <summary>Ends all watches as it does when their time is over.</summary>
    public Task EndWatchesAsync() => EndWatchesAsync(isReset: false);

    /// <summary>Resets the connections of all watches.</summary>
    public Task ResetWatchesAsync() => EndWatchesAsync(isReset: true);

    public async ValueTask DisposeAsync()
    {
        await EndWatchesAsync();
        await _app.DisposeAsync();
        _watches.Dispose();
    }

    private async Task EndWatchesAsync(bool isReset)
    {
        // Not disposed of: requests have it.
        var ended = Interlocked.Exchange(ref _watches, new WatchEnd());
        ended.IsReset = isReset;
        await ended.CancelAsync();
    }

    private static JsonObject Address(string type, string address) => new() { ["type"] = type, ["address"] = address };

    private static JsonObject Condition(string type, string status) => new() { ["type"] = type, ["status"] = status };

    private async Task HandleAsync(HttpContext context)
    {
        // Whoever ends the watches that were asked for ends this one, too.
        var watches = Volatile.Read(ref _watches);
        _requests.Enqueue($"{context.Request.Path}{context.Request.QueryString}");
        if (context.Request.Path.Value!.Contains("/events", StringComparison.Ordinal) && HoldEvents is { } hold)
        {
            await hold.Task.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        var status = Token is { } token && context.Request.Headers.Authorization != $"Bearer {token}" ? StatusCodes.Status401Unauthorized : Status;
        if (status != 0)
        {
            context.Response.StatusCode = status;
            return;
        }

        context.Response.ContentType = "application/json";
        if (context.Request.Path.StartsWithSegments("/api/v1/namespaces/peerd-ns/events", StringComparison.Ordinal, out var name))
        {
            await AnswerEventAsync(context, name.Value!.TrimStart('/'));
            return;
        }

        await (context.Request.Query["watch"] == "true" ? WatchAsync(context, watches) : ListAsync(context));
    }

    // As the real one: what is missing or of the wrong namespace is refused, and a patch needs its media type.
    private async Task AnswerEventAsync(HttpContext context, string name)
    {
        var isGet = HttpMethods.IsGet(context.Request.Method);
        var body = isGet ? null : (await JsonNode.ParseAsync(context.Request.Body, cancellationToken: context.RequestAborted))!.AsObject();
        JsonObject? answer = null;
        lock (_lock)
        {
            if (isGet)
            {
                answer = new JsonObject
                {
                    ["kind"] = "EventList",
                    ["apiVersion"] = "v1",
                    ["metadata"] = new JsonObject { ["resourceVersion"] = $"{Nodes.Version}" },
                    ["items"] = new JsonArray([.. _podEvents.Values.Select(item => item.DeepClone())]),
                };
            }
            else if (HttpMethods.IsPost(context.Request.Method) && context.Request.ContentType == "application/json" && body!["involvedObject"]?["namespace"]?.GetValue<string>() == "peerd-ns")
            {
                var metadata = body["metadata"]!;
                metadata["creationTimestamp"] = body["firstTimestamp"]!.DeepClone();
                if (!_podEvents.TryAdd(metadata["name"]!.GetValue<string>(), answer = body))
                {
                    context.Response.StatusCode = StatusCodes.Status409Conflict;
                    return;
                }
            }
            else if (HttpMethods.IsPatch(context.Request.Method) && context.Request.ContentType == "application/merge-patch+json")
            {
                if (_podEvents.TryGetValue(name, out answer))
                {
                    foreach (var (key, value) in body!)
                    {
                        answer[key] = value?.DeepClone();
                    }
                }
                else
                {
                    context.Response.StatusCode = StatusCodes.Status404NotFound;
                    return;
                }
            }
            else
            {
                context.Response.StatusCode = StatusCodes.Status422UnprocessableEntity;
                return;
            }

            answer = answer.DeepClone().AsObject();
        }

        await context.Response.WriteAsync(answer.ToJsonString());
    }

    private async Task ListAsync(HttpContext context)
    {
        if (HoldLists is { } hold)
        {
            await hold.Task.WaitAsync(context.RequestAborted);
        }

        if (ListBody is { } body)
        {
            await context.Response.WriteAsync(body);
            return;
        }

        var query = context.Request.Query;
        if (Nodes.List(int.Parse(query["limit"]!, CultureInfo.InvariantCulture), query["continue"].ToString(), new FakeSelector(query["labelSelector"].ToString())) is { } part)
        {
            await context.Response.WriteAsync(part[..(part.Length / 2)]);
            await context.Response.Body.FlushAsync();
            if (HoldHalfLists is { } half)
            {
                await half.Task.WaitAsync(context.RequestAborted);
            }

            await context.Response.WriteAsync(part[(part.Length / 2)..]);
            PartSent?.Invoke();
        }
        else
        {
            context.Response.StatusCode = StatusCodes.Status410Gone;
        }
    }

    private async Task WatchAsync(HttpContext context, WatchEnd watches)
    {
        if (HoldWatches is { } hold)
        {
            await hold.Task.WaitAsync(context.RequestAborted);
        }

        var query = context.Request.Query;
        var told = int.Parse(query["resourceVersion"]!, CultureInfo.InvariantCulture);
        var selector = new FakeSelector(query["labelSelector"].ToString());
        if (AnswersGone && Nodes.Since(told, selector) is null)
        {
            context.Response.StatusCode = StatusCodes.Status410Gone;
            return;
        }

        using var end = CancellationTokenSource.CreateLinkedTokenSource(watches.Token, context.RequestAborted);
        end.CancelAfter(TimeSpan.FromSeconds(int.Parse(query["timeoutSeconds"]!, CultureInfo.InvariantCulture)));
        await context.Response.Body.FlushAsync();
        Interlocked.Increment(ref _begunWatches);
        if (EndsWatchesAtOnce)
        {
            return;
        }

        try
        {
            while (Nodes.Since(told, selector) is { } news)
            {
                foreach (var (version, line) in news.Changes)
                {
                    told = version;
                    if (!line.StartsWith(FakeNodes.BookmarkStart, StringComparison.Ordinal) || query["allowWatchBookmarks"] == "true")
                    {
                        await WriteAsync(context, line, end.Token);
                        Volatile.Write(ref _told, version);
                    }
                }

                await news.More.WaitAsync(end.Token);
            }

            await context.Response.WriteAsync("""{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}""" + "\n", end.Token);
        }
        catch (OperationCanceledException) when (watches.IsReset)
        {
            context.Abort();
        }
        catch (OperationCanceledException)
        {
            // Its time is over.
        }
    }

    // In two chunks, as it happens on the way.
    private static async Task WriteAsync(HttpContext context, string line, CancellationToken cancellationToken)
    {
        await context.Response.WriteAsync(line[..(line.Length / 2)], cancellationToken);
        await context.Response.Body.FlushAsync(cancellationToken);
        await context.Response.WriteAsync(line[(line.Length / 2)..] + "\n", cancellationToken);
        await context.Response.Body.FlushAsync(cancellationToken);
    }

    /// <summary>Ends watches.</summary>
    private sealed class WatchEnd : CancellationTokenSource
    {
        /// <summary>And resets their connections.</summary>
        public bool IsReset { get; set; }
    }
}
