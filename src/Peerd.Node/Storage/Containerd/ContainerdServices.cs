using Microsoft.Extensions.Options;

namespace Peerd.Node.Storage.Containerd;

/// <summary>Registers containerd's content store as a source.</summary>
internal static class ContainerdServices
{
    /// <summary>Adds <see cref="ContainerdWatcher"/>, configured by section <c>Peerd:Containerd</c>.</summary>
    public static IServiceCollection AddContainerdStore(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<ContainerdOptions>().Bind(configuration.GetSection(ContainerdOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<ContainerdOptions>, ContainerdOptionsValidator>();
        services.AddHostedService<ContainerdWatcher>();
        return services;
    }
}
