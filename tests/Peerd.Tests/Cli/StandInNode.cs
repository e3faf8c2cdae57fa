using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Peerd.Node.Cli.Demo;

namespace Peerd.Tests.Cli;

/// <summary>A node without a mesh: passes every request on to the registry. Tests spoil what they like.</summary>
internal sealed class StandInNode : IDemoNode
{
    private readonly HttpClient _http = new();
    private readonly WebApplication _app;
    private readonly Uri _registry;
    private readonly Func<HttpContext, Task<bool>> _intercept;
    private readonly Func<string, byte[], byte[]> _change;
    private long _bytes;

    private StandInNode(string name, Uri registry, Func<HttpContext, Task<bool>>? intercept, Func<string, byte[], byte[]>? change)
    {
        Name = name;
        _registry = registry;
        _intercept = intercept ?? (_ => Task.FromResult(false));
        _change = change ?? ((_, bytes) => bytes);
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        _app = builder.Build();
        _app.Run(HandleAsync);
    }

    public string Name { get; }

    public Uri Facade => new(_app.Urls.First());

    public NodeTraffic Traffic => new(Interlocked.Read(ref _bytes), 0, 0);

    public bool IsDisposed { get; private set; }

    /// <summary>Starts one: intercept answers a request itself when it gives true, change gets the path and the right body.</summary>
    public static async Task<StandInNode> StartAsync(string name, Uri registry, Func<HttpContext, Task<bool>>? intercept = null, Func<string, byte[], byte[]>? change = null)
    {
        var node = new StandInNode(name, registry, intercept, change);
        await node._app.StartAsync();
        return node;
    }

    /// <summary>Starts stand-ins as the demo's nodes.</summary>
    public static StartNodes Nodes(List<StandInNode> started, Func<int, Func<HttpContext, Task<bool>>?>? intercept = null, Func<int, Func<string, byte[], byte[]>?>? change = null) => async (request, cancellationToken) =>
    {
        for (var i = 0; i < request.Count; i++)
        {
            var folder = Directory.CreateDirectory(Path.Combine(request.RootFolder, $"node-{i + 1}"));
            await File.WriteAllTextAsync(Path.Combine(folder.FullName, "cache"), "left behind", cancellationToken);
            started.Add(await StartAsync($"node-{i + 1}", request.RegistryEndpoint, intercept?.Invoke(i), change?.Invoke(i)));
        }

        return started;
    };

    public async ValueTask DisposeAsync()
    {
        IsDisposed = true;
        await _app.StopAsync(new CancellationToken(canceled: true));
        await _app.DisposeAsync();
        _http.Dispose();
    }

    private async Task HandleAsync(HttpContext context)
    {
        if (await _intercept(context))
        {
            return;
        }

        Assert.NotEmpty(context.Request.Query["ns"].ToString());
        var path = context.Request.Path.Value!;
        using var request = new HttpRequestMessage(new HttpMethod(context.Request.Method), new Uri(_registry, path));
        using var response = await _http.SendAsync(request, context.RequestAborted);
        context.Response.StatusCode = (int)response.StatusCode;
        foreach (var (name, values) in response.Headers.Concat(response.Content.Headers).Where(header => header.Key is "Docker-Content-Digest" or "Content-Type" or "Content-Length"))
        {
            context.Response.Headers[name] = values.ToArray();
        }

        if (HttpMethods.IsGet(context.Request.Method))
        {
            var body = await response.Content.ReadAsByteArrayAsync();
            Interlocked.Add(ref _bytes, body.Length);
            body = _change(path, body);
            context.Response.ContentLength = body.Length;
            await context.Response.Body.WriteAsync(body);
        }
    }
}
