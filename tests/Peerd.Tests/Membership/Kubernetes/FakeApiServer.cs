using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
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
/// The nodes and events of an API server, on loopback: lists in parts, chunked watches with bookmarks, versions that are forgotten
/// (410), and whatever else one does to its clients. Thread-safe.
/// </summary>
internal sealed class FakeApiServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Lock _lock = new();
    private readonly SortedDictionary<string, JsonObject> _nodes = new(StringComparer.Ordinal);
    private readonly List<(int Version, string Line)> _events = [];
    private readonly ConcurrentQueue<string> _requests = new();
    private readonly SortedDictionary<string, JsonObject> _podEvents = new(StringComparer.Ordinal);
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private CancellationTokenSource _watches = new();
    private int _version = 100;
    private int _oldest = 100;

    private FakeApiServer()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0));
        builder.Services.Configure<Microsoft.Extensions.Hosting.HostOptions>(options => options.ShutdownTimeout = TimeSpan.FromMilliseconds(100));
        _app = builder.Build();
        _app.Run(HandleAsync);
    }

    public string Url { get; private set; } = string.Empty;

    /// <summary>Targets of all requests so far.</summary>
    public IReadOnlyList<string> Requests => [.. _requests];

    public int Lists => Requests.Count(request => !request.Contains("watch=true", StringComparison.Ordinal));

    /// <summary>Answers each request with this status; 0: properly.</summary>
    public int Status { get; set; }

    /// <summary>Requests about events wait until it is completed; null: they do not.</summary>
    public TaskCompletionSource? HoldEvents { get; set; }

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

    public static async Task<FakeApiServer> StartAsync()
    {
        var server = new FakeApiServer();
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
        lock (_lock)
        {
            var isNew = !_nodes.ContainsKey(name);
            _nodes[name] = node;
            Tell(isNew ? "ADDED" : "MODIFIED", node);
        }
    }

    /// <summary>A node goes.</summary>
    public void Remove(string name)
    {
        lock (_lock)
        {
            if (_nodes.Remove(name, out var node))
            {
                Tell("DELETED", node);
            }
        }
    }

    /// <summary>Tells all watches where they stand.</summary>
    public void Bookmark()
    {
        lock (_lock)
        {
            Tell("BOOKMARK", new JsonObject { ["metadata"] = new JsonObject() });
        }
    }

    /// <summary>Sends a line to all watches.</summary>
    public void Say(string line)
    {
        lock (_lock)
        {
            _events.Add((++_version, line));
            Wake();
        }
    }

    /// <summary>Forgets what has changed so far: who watches from then on is told 410.</summary>
    public void Compact()
    {
        lock (_lock)
        {
            _oldest = ++_version;
            _events.Clear();
        }
    }

    /// <summary>Ends all watches: in the middle of a line when they break.</summary>
    public async Task EndWatchesAsync()
    {
        var ended = Interlocked.Exchange(ref _watches, new CancellationTokenSource());
        await ended.CancelAsync();
        ended.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        await EndWatchesAsync();
        await _app.DisposeAsync();
        _watches.Dispose();
    }

    private static JsonObject Address(string type, string address) => new() { ["type"] = type, ["address"] = address };

    private static JsonObject Condition(string type, string status) => new() { ["type"] = type, ["status"] = status };

    private void Tell(string type, JsonObject node)
    {
        node["metadata"]!["resourceVersion"] = (++_version).ToString(CultureInfo.InvariantCulture);
        _events.Add((_version, new JsonObject { ["type"] = type, ["object"] = node.DeepClone() }.ToJsonString()));
        Wake();
    }

    private void Wake()
    {
        _changed.SetResult();
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private async Task HandleAsync(HttpContext context)
    {
        _requests.Enqueue($"{context.Request.Path}{context.Request.QueryString}");
        if (context.Request.Path.Value!.Contains("/events", StringComparison.Ordinal) && HoldEvents is { } hold)
        {
            await hold.Task.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (Status != 0)
        {
            context.Response.StatusCode = Status;
            return;
        }

        context.Response.ContentType = "application/json";
        if (context.Request.Path.StartsWithSegments("/api/v1/namespaces/peerd-ns/events", StringComparison.Ordinal, out var name))
        {
            await AnswerEventAsync(context, name.Value!.TrimStart('/'));
            return;
        }

        await (context.Request.Query["watch"] == "true" ? WatchAsync(context) : ListAsync(context));
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
                    ["metadata"] = new JsonObject { ["resourceVersion"] = $"{_version}" },
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
        JsonObject list;
        lock (_lock)
        {
            var limit = int.Parse(context.Request.Query["limit"]!, CultureInfo.InvariantCulture);
            var after = context.Request.Query["continue"].ToString();
            var part = _nodes.Where(pair => string.CompareOrdinal(pair.Key, after) > 0).Take(limit).ToList();
            var isLast = part.Count == 0 || part[^1].Key == _nodes.Keys.Last();
            list = new JsonObject
            {
                ["kind"] = "NodeList",
                ["metadata"] = new JsonObject { ["resourceVersion"] = $"{_version}", ["continue"] = isLast ? string.Empty : part[^1].Key },
                ["items"] = new JsonArray([.. part.Select(pair => pair.Value.DeepClone())]),
            };
        }

        await context.Response.WriteAsync(list.ToJsonString());
    }

    private async Task WatchAsync(HttpContext context)
    {
        var told = int.Parse(context.Request.Query["resourceVersion"]!, CultureInfo.InvariantCulture);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(_watches.Token, context.RequestAborted);
        if (told < _oldest)
        {
            await context.Response.WriteAsync("""{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","message":"too old resource version","reason":"Expired","code":410}}""" + "\n");
            return;
        }

        await context.Response.Body.FlushAsync();
        try
        {
            while (true)
            {
                Task changed;
                List<(int Version, string Line)> lines;
                lock (_lock)
                {
                    changed = _changed.Task;
                    var from = told;
                    lines = [.. _events.Where(line => line.Version > from)];
                }

                foreach (var (version, line) in lines)
                {
                    told = version;

                    // In two chunks, as it happens on the way.
                    await context.Response.WriteAsync(line[..(line.Length / 2)], end.Token);
                    await context.Response.Body.FlushAsync(end.Token);
                    await context.Response.WriteAsync(line[(line.Length / 2)..] + "\n", end.Token);
                    await context.Response.Body.FlushAsync(end.Token);
                }

                await changed.WaitAsync(end.Token);
            }
        }
        catch (OperationCanceledException)
        {
            // Its time is over.
        }
    }
}
