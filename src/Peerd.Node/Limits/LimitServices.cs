using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Limits;

/// <summary>Registers the limits.</summary>
internal static class LimitServices
{
    /// <summary>Adds <see cref="Bandwidth"/>, <see cref="OwnConnections"/> and <see cref="HeldMemory"/>, configured by section <c>Peerd:Limits</c>; once, however often it is called.</summary>
    /// <param name="services">The host's services.</param>
    /// <param name="configuration">The root of the configuration.</param>
    public static IServiceCollection AddLimits(this IServiceCollection services, IConfiguration configuration)
    {
        if (services.Any(service => service.ServiceType == typeof(Bandwidth)))
        {
            return services;
        }

        services.AddOptions<LimitOptions>().Bind(configuration.GetSection(LimitOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<LimitOptions>, LimitOptionsValidator>();
        services.TryAddSingleton(TimeProvider.System);
        services.AddSingleton<Bandwidth>();
        services.AddSingleton<OwnConnections>();
        services.TryAddSingleton(provider => new HeldMemory(provider.GetRequiredService<IOptions<LimitOptions>>()));
        return services;
    }
}
