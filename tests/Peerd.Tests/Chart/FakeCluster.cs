using System.Collections.Concurrent;
using System.Net;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace Peerd.Tests.Chart;

/// <summary>As much of an API server as Helm needs to look up one object, and kubectl to wait for a DaemonSet; else the cluster is empty.</summary>
internal sealed class FakeCluster : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Dictionary<string, JsonObject> _answers = new(StringComparer.Ordinal);
    private readonly Dictionary<string, JsonObject[]> _watched = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<string> _requests = new();
    private readonly ConcurrentQueue<Uri> _asked = new();

    private FakeCluster()
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrel(options => options.Listen(IPAddress.Loopback, 0));
        _app = builder.Build();
        _app.Run(AnswerAsync);
    }

    public string Kubeconfig { get; } = Path.GetTempFileName();

    public IReadOnlyCollection<string> Requests => _requests;

    /// <summary>The same with what was asked for.</summary>
    public IReadOnlyCollection<Uri> Asked => _asked;

    /// <summary>Whoever asks has no rights in this namespace; empty: he has all.</summary>
    public string Forbidden { get; set; } = string.Empty;

    public static async Task<FakeCluster> StartAsync()
    {
        var cluster = new FakeCluster();
        cluster._answers["/version"] = new JsonObject { ["major"] = "1", ["minor"] = "35", ["gitVersion"] = "v1.35.0" };
        cluster._answers["/api"] = new JsonObject { ["kind"] = "APIVersions", ["versions"] = new JsonArray("v1") };
        cluster._answers["/apis"] = new JsonObject
        {
            ["kind"] = "APIGroupList",
            ["apiVersion"] = "v1",
            ["groups"] = new JsonArray(Group("apps"), Group("rbac.authorization.k8s.io")),
        };
        cluster._answers["/api/v1"] = Resources("v1", ("configmaps", "ConfigMap", true), ("secrets", "Secret", true), ("serviceaccounts", "ServiceAccount", true));
        cluster._answers["/apis/apps/v1"] = Resources("apps/v1", ("daemonsets", "DaemonSet", true));
        cluster._answers["/apis/rbac.authorization.k8s.io/v1"] = Resources(
            "rbac.authorization.k8s.io/v1", ("clusterroles", "ClusterRole", false), ("clusterrolebindings", "ClusterRoleBinding", false), ("roles", "Role", true), ("rolebindings", "RoleBinding", true));

        await cluster._app.StartAsync();
        var url = cluster._app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        await File.WriteAllTextAsync(cluster.Kubeconfig, new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Config",
            ["current-context"] = "test",
            ["clusters"] = new JsonArray(new JsonObject { ["name"] = "test", ["cluster"] = new JsonObject { ["server"] = url } }),
            ["contexts"] = new JsonArray(new JsonObject { ["name"] = "test", ["context"] = new JsonObject { ["cluster"] = "test", ["user"] = "test" } }),
            ["users"] = new JsonArray(new JsonObject { ["name"] = "test", ["user"] = new JsonObject() }),
        }.ToJsonString());
        return cluster;
    }

    /// <summary>Adds a ConfigMap.</summary>
    /// <param name="configMap">As it was rendered.</param>
    /// <param name="release">The release that made it; empty for none.</param>
    /// <param name="ns">The namespace of that release.</param>
    public void AddConfigMap(V1ConfigMap configMap, string release, string ns)
    {
        var annotations = new JsonObject((configMap.Metadata.Annotations ?? new Dictionary<string, string>()).Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value)));
        if (release.Length > 0)
        {
            annotations["meta.helm.sh/release-name"] = release;
            annotations["meta.helm.sh/release-namespace"] = ns;
        }

        _answers[$"/api/v1/namespaces/{configMap.Metadata.NamespaceProperty}/configmaps/{configMap.Metadata.Name}"] = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject
            {
                ["name"] = configMap.Metadata.Name,
                ["namespace"] = configMap.Metadata.NamespaceProperty,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "Helm" },
                ["annotations"] = annotations,
            },
            ["data"] = new JsonObject(configMap.Data.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
        };
    }

    /// <summary>Adds a secret as the chart's release has made it.</summary>
    public void AddSecret(string ns, string name, string? annotation, string? value, IEnumerable<KeyValuePair<string, string>> data) =>
        _answers[$"/api/v1/namespaces/{ns}/secrets/{name}"] = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "Secret",
            ["metadata"] = new JsonObject
            {
                ["name"] = name,
                ["namespace"] = ns,
                ["labels"] = new JsonObject { ["app.kubernetes.io/managed-by"] = "Helm" },
                ["annotations"] = annotation is null ? null : new JsonObject { ["meta.helm.sh/release-name"] = "peerd", ["meta.helm.sh/release-namespace"] = ns, [annotation] = value },
            },
            ["data"] = new JsonObject(data.Select(pair => KeyValuePair.Create(pair.Key, (JsonNode?)pair.Value))),
        };

    /// <summary>Adds a DaemonSet as it becomes, one after the other, for who watches; who reads it gets the first.</summary>
    public void AddDaemonSet(params IReadOnlyList<V1DaemonSet> states)
    {
        var (ns, name) = (states[0].Metadata.NamespaceProperty, states[0].Metadata.Name);
        var items = states.Select(state => JsonNode.Parse(KubernetesJson.Serialize(state))!.AsObject()).ToArray();
        for (var i = 0; i < items.Length; i++)
        {
            (items[i]["apiVersion"], items[i]["kind"], items[i]["metadata"]!["resourceVersion"]) = ("apps/v1", "DaemonSet", $"{100 + i}");
        }

        _answers[$"/apis/apps/v1/namespaces/{ns}/daemonsets/{name}"] = items[0];
        _watched[$"/apis/apps/v1/namespaces/{ns}/daemonsets"] = items;
    }

    public async ValueTask DisposeAsync()
    {
        await _app.DisposeAsync();
        File.Delete(Kubeconfig);
    }

    private static JsonObject Group(string name) => new()
    {
        ["name"] = name,
        ["versions"] = new JsonArray(new JsonObject { ["groupVersion"] = $"{name}/v1", ["version"] = "v1" }),
        ["preferredVersion"] = new JsonObject { ["groupVersion"] = $"{name}/v1", ["version"] = "v1" },
    };

    private static JsonObject Resources(string version, params (string Name, string Kind, bool IsNamespaced)[] resources) => new()
    {
        ["kind"] = "APIResourceList",
        ["groupVersion"] = version,
        ["resources"] = new JsonArray([.. resources.Select(resource => new JsonObject
        {
            ["name"] = resource.Name,
            ["kind"] = resource.Kind,
            ["namespaced"] = resource.IsNamespaced,
            ["verbs"] = new JsonArray("get"),
        })]),
    };

    private async Task AnswerAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        _requests.Enqueue(path);
        _asked.Enqueue(new Uri($"http://cluster{path}{context.Request.QueryString}"));
        context.Response.ContentType = "application/json";
        if (Forbidden.Length > 0 && path.Contains($"/namespaces/{Forbidden}/", StringComparison.Ordinal))
        {
            await RefuseAsync(context, StatusCodes.Status403Forbidden, "Forbidden");
        }
        else if (_watched.TryGetValue(path, out var states))
        {
            await (context.Request.Query["watch"] == "true" ? WatchAsync(context, states) : context.Response.WriteAsync(new JsonObject
            {
                ["kind"] = "DaemonSetList",
                ["apiVersion"] = "apps/v1",
                ["metadata"] = new JsonObject { ["resourceVersion"] = "100" },
                ["items"] = new JsonArray(states[0].DeepClone()),
            }.ToJsonString()));
        }
        else if (_answers.TryGetValue(path, out var answer))
        {
            await context.Response.WriteAsync(answer.ToJsonString());
        }
        else
        {
            await RefuseAsync(context, StatusCodes.Status404NotFound, "NotFound");
        }
    }

    // Newer clients have the list sent by the watch, too.
    private static async Task WatchAsync(HttpContext context, JsonObject[] states)
    {
        if (context.Request.Query["sendInitialEvents"] == "true")
        {
            await TellAsync("ADDED", states[0]);
            await TellAsync("BOOKMARK", new JsonObject
            {
                ["apiVersion"] = "apps/v1",
                ["kind"] = "DaemonSet",
                ["metadata"] = new JsonObject { ["resourceVersion"] = "100", ["annotations"] = new JsonObject { ["k8s.io/initial-events-end"] = "true" } },
            });
        }

        foreach (var state in states[1..])
        {
            await TellAsync("MODIFIED", state);
        }

        await Task.Delay(Timeout.InfiniteTimeSpan, context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        async Task TellAsync(string type, JsonObject item)
        {
            await context.Response.WriteAsync(new JsonObject { ["type"] = type, ["object"] = item.DeepClone() }.ToJsonString() + "\n");
            await context.Response.Body.FlushAsync();
        }
    }

    private static Task RefuseAsync(HttpContext context, int code, string reason)
    {
        context.Response.StatusCode = code;
        return context.Response.WriteAsync(new JsonObject { ["kind"] = "Status", ["apiVersion"] = "v1", ["status"] = "Failure", ["reason"] = reason, ["message"] = $"{context.Request.Path} is {reason}", ["code"] = code }.ToJsonString());
    }
}
