using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.EndToEnd.Harness;

/// <summary>An HTTP/1.1 server within this process, on loopback or on a host of a <see cref="LabNetwork"/>.</summary>
internal sealed class LabServer : IAsyncDisposable
{
    private readonly WebApplication _app;
    private readonly Socket? _listening;

    private LabServer(WebApplication app, string url, Socket? listening)
    {
        _app = app;
        _listening = listening;
        Url = url;
    }

    /// <summary><c>http://address:port</c>.</summary>
    public string Url { get; }

    /// <summary>Starts a server.</summary>
    /// <param name="handle">Answers all requests; a client that goes away in the meantime is no error.</param>
    public static Task<LabServer> StartAsync(RequestDelegate handle) => StartAsync(handle, FreePorts.Take());

    /// <summary>Starts a server on a given port.</summary>
    public static Task<LabServer> StartAsync(RequestDelegate handle, int port) =>
        StartAsync(handle, new IPEndPoint(IPAddress.Loopback, port), null);

    /// <summary>Starts a server that only the network of a host reaches.</summary>
    public static async Task<LabServer> StartAsync(RequestDelegate handle, LabHost host, int port)
    {
        var (address, socket) = (new IPEndPoint(host.Address, port), await host.OpenSocketAsync());
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.ReuseAddress, true);
        socket.Bind(address);
        return await StartAsync(handle, address, socket);
    }

    private static async Task<LabServer> StartAsync(RequestDelegate handle, IPEndPoint address, Socket? socket)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;

            // What was written was sent: counts of bytes are exact.
            kestrel.Limits.MaxResponseBufferSize = 0;
            kestrel.Limits.MinResponseDataRate = null;
            if (socket is null)
            {
                kestrel.Listen(address, listen => listen.Protocols = HttpProtocols.Http1);
            }
            else
            {
                kestrel.ListenHandle((ulong)socket.Handle, listen => listen.Protocols = HttpProtocols.Http1);
            }
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
        return new LabServer(app, $"http://{address}", socket);
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
        _listening?.Dispose();
    }
}
