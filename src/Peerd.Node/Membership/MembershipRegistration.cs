using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;

namespace Peerd.Node.Membership;

/// <summary>Adds the feature to the services of the node.</summary>
internal static class MembershipRegistration
{
    /// <summary>Adds <see cref="NodeIdentity"/> and the configured <see cref="IMembershipSource"/>.</summary>
    /// <param name="services">The services of the node.</param>
    /// <param name="self">This node as others see it; asked for once, when the source is made.</param>
    public static IServiceCollection AddMembership(this IServiceCollection services, Func<IServiceProvider, Member> self)
    {
        services.TryAddSingleton(TimeProvider.System);

        services.AddOptions<NodeOptions>().BindConfiguration(NodeOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<NodeOptions>, NodeOptionsValidator>();
        services.AddSingleton(provider => NodeIdentity.Create(
            provider.GetRequiredService<IOptions<NodeOptions>>().Value, provider.GetRequiredService<TimeProvider>()));

        services.AddOptions<MembershipOptions>().BindConfiguration(MembershipOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<MembershipOptions>, MembershipOptionsValidator>();
        services.AddSingleton<IMembershipSource>(provider => new StaticMembershipSource(
            provider.GetRequiredService<IOptionsMonitor<MembershipOptions>>(),
            provider.GetRequiredService<IOptionsChangeTokenSource<MembershipOptions>>(),
            self(provider),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<StaticMembershipSource>>()));
        return services;
    }
}
