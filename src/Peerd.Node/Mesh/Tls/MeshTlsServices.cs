using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Options;
using Peerd.Node.Membership;

namespace Peerd.Node.Mesh.Tls;

/// <summary>Adds the feature to the services of the node, and to its mesh listener.</summary>
internal static class MeshTlsServices
{
    public static IServiceCollection AddMeshTls(this IServiceCollection services)
    {
        services.AddOptions<MeshTlsOptions>().BindConfiguration(MeshTlsOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<MeshTlsOptions>, MeshTlsOptionsValidator>();
        services.AddSingleton(provider => new MeshTls(
            provider.GetRequiredService<IOptions<MeshTlsOptions>>().Value,
            provider.GetRequiredService<NodeIdentity>().Name,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<MeshMetrics>().TlsRefused,
            provider.GetRequiredService<ILogger<MeshTls>>()));
        services.AddSingleton<CertifiedConnections>();
        services.AddHostedService<MeshTlsRefresh>();
        return services;
    }

    /// <summary>Lets only members in, if there is TLS.</summary>
    public static void UseMeshTls(this Microsoft.AspNetCore.Server.Kestrel.Core.ListenOptions listener, MeshTls tls, CertifiedConnections connections)
    {
        if (tls.IsOn)
        {
            listener.Use(next => connection => connections.ServeAsync(connection, next));
            listener.UseHttps(new TlsHandshakeCallbackOptions
            {
                OnConnection = handshake => ValueTask.FromResult(tls.ServerOptions(handshake.Connection.Features.GetRequiredFeature<CertifiedConnection>())),
            });
        }
    }
}
