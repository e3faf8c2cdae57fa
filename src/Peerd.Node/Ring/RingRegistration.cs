namespace Peerd.Node.Ring;

/// <summary>Adds the feature to the services of the node.</summary>
internal static class RingRegistration
{
    /// <summary>Adds <see cref="RingSource"/>, which follows the registered source of membership.</summary>
    public static IServiceCollection AddRing(this IServiceCollection services)
    {
        services.AddSingleton<RingSource>();
        services.AddHostedService(provider => provider.GetRequiredService<RingSource>());
        return services;
    }
}
