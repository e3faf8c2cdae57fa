using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.EndToEnd.Harness;

/// <summary>An HTTP/1.1 server on loopback within this process.</summary>
internal sealed class LabServer : IAsyncDisposable
{
    private readonly WebApplication _app;

    private LabServer(WebApplication app, string url)
    {
        _app = app;
        Url = url;
    }

    /// <summary><c>http://127.0.0.1:port</c>.</summary>
    public string Url { get; }

    /// <summary>Starts a server.</summary>
    /// <param name="handle">Answers all requests; a client that goes away in the meantime is no error.</param>
    public static async Task<LabServer> StartAsync(RequestDelegate handle)
    {
        var port = FreePorts.Take();
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;

            // What was written was sent: counts of bytes are exact.
            kestrel.Limits.MaxResponseBufferSize = 0;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Listen(IPAddress.Loopback, port, listen => listen.Protocols = HttpProtocols.Http1);
        });
        var app = builder.Build();
        app.Run(async context =>
        {
            try
            {
                await handle(context);
            }
            catch (Exception e) when (e is OperationCanceledException or IOException && context.RequestAborted.IsCancellationRequested)
            {
                // It went away, or the server stops.
            }
        });
        await app.StartAsync();
        return new LabServer(app, $"http://127.0.0.1:{port}");
    }

    /// <summary>Breaks all connections; new ones are refused from now on.</summary>
    public async Task StopAsync()
    {
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _app.StopAsync(now.Token);
    }

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        await _app.DisposeAsync();
    }
}
