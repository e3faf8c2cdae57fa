using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Peerd.Node.Content;
using Peerd.Node.Directory;
using Peerd.Node.Limits;

namespace Peerd.Node.Facade;

/// <summary>Puts the facade into a host. It needs an <c>IContentReader</c>, an <c>IOrigin</c> and an <c>ITagMesh</c> there.</summary>
internal static class FacadeServices
{
    /// <param name="services">The host's services.</param>
    /// <param name="configuration">The root of the configuration.</param>
    public static IServiceCollection AddFacade(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<FacadeOptions>().Bind(configuration.GetSection(FacadeOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<FacadeOptions>, FacadeOptionsValidator>();
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.AddLimits(configuration);
        services.AddSingleton<FacadeLoad>();
        services.AddSingleton<OwnRequest>();
        services.AddSingleton<FacadeMetrics>();
        services.TryAddSingleton<ServedBytes>();
        services.AddSingleton<AccessCheck>();
        services.AddOptions<TagOptions>().Bind(configuration.GetSection(TagOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<TagOptions>, TagOptionsValidator>();
        services.AddSingleton<TagDirectory>();
        services.AddSingleton<TagResolver>();
        services.AddSingleton<RegistryFacade>();
        services.AddSingleton<AskedHosts>();
        services.AddSingleton<DirectBlob>();
        services.AddSingleton<WholeBlob>();
        services.AddSingleton<BlobFacade>();
        services.AddSingleton<FacadeHandler>();
        return services;
    }

    /// <summary>Answers every request that reaches this point of the pipeline; nothing after it is run.</summary>
    public static void MapFacade(this IApplicationBuilder app)
    {
        // Made by the first request: what it needs opens the cache, which another process of the node may have until the start.
        var handler = new Lazy<FacadeHandler>(app.ApplicationServices.GetRequiredService<FacadeHandler>);
        app.Run(context => handler.Value.HandleAsync(context));
    }
}
