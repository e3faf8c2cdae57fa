using Microsoft.AspNetCore.Server.Kestrel.Core;
using Peerd.Node.Limits;

namespace Peerd.Node.Facade;

/// <summary>What a client of the facade may cost before its request is understood.</summary>
internal static class FacadeLimits
{
    /// <summary>
    /// Limits that Kestrel has only for the whole server; none of them hurts a mesh listener beside the facade.
    /// The lowest rate of an answer is not among them: it is switched off per request, see <see cref="FacadeHandler"/>.
    /// </summary>
    public static void Apply(KestrelServerLimits limits, FacadeOptions options)
    {
        limits.MaxRequestLineSize = 16 * 1024;
        limits.MaxRequestHeadersTotalSize = 32 * 1024;
        limits.RequestHeadersTimeout = options.RequestHeadersTimeoutValue;

        // Longer than a client keeps an idle connection (containerd: 30 s), so that it is the client who closes and no
        // request meets a closing connection.
        limits.KeepAliveTimeout = TimeSpan.FromSeconds(130);

        // No request that is served has a body.
        limits.MaxRequestBodySize = 64 * 1024;
    }

    /// <summary>What concerns the facade's listener alone: HTTP/1.1 only, and its own bound of connections.</summary>
    public static void Apply(ListenOptions listener, FacadeOptions options)
    {
        listener.Protocols = HttpProtocols.Http1;
        var services = listener.ApplicationServices;
        new FacadeConnections(options.MaxConnectionsValue, services.GetRequiredService<TimeProvider>())
            .Apply(listener, services.GetRequiredService<FacadeMetrics>().Shed, services.GetRequiredService<OwnConnections>());
    }
}
