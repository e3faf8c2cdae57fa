using k8s;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Peerd.Node.Membership.Kubernetes;

namespace Peerd.Node.Membership;

/// <summary>Adds the feature to the services of the node.</summary>
internal static class MembershipRegistration
{
    /// <summary>Adds <see cref="NodeIdentity"/> and the configured <see cref="IMembershipSource"/>.</summary>
    /// <param name="services">The services of the node.</param>
    /// <param name="self">This node as others see it; asked for once, when the source is made.</param>
    /// <param name="isLast">No later process of this node has taken over from this one.</param>
    public static IServiceCollection AddMembership(this IServiceCollection services, Func<IServiceProvider, Member> self, Func<IServiceProvider, bool> isLast)
    {
        services.TryAddSingleton(TimeProvider.System);

        services.AddOptions<NodeOptions>().BindConfiguration(NodeOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<NodeOptions>, NodeOptionsValidator>();
        services.AddSingleton(provider => NodeIdentity.Create(
            provider.GetRequiredService<IOptions<NodeOptions>>().Value, provider.GetRequiredService<TimeProvider>()));

        services.AddOptions<MembershipOptions>().BindConfiguration(MembershipOptions.Section).ValidateOnStart();
        services.AddSingleton<IValidateOptions<MembershipOptions>, MembershipOptionsValidator>();
        services.AddSingleton<IValidateOptions<MembershipOptions>, PodValidator>();
        services.AddSingleton<IMembershipSource>(provider =>
            provider.GetRequiredService<IOptions<MembershipOptions>>().Value is { Source: MembershipOptions.KubernetesSource } options
                ? OfCluster(provider, options, self(provider), isLast)
                : new StaticMembershipSource(
                    provider.GetRequiredService<IOptionsMonitor<MembershipOptions>>(),
                    provider.GetRequiredService<IOptionsChangeTokenSource<MembershipOptions>>(),
                    self(provider),
                    provider.GetRequiredService<TimeProvider>(),
                    provider.GetRequiredService<ILogger<StaticMembershipSource>>()));
        services.AddHostedService<MembershipRun>();
        return services;
    }

    private static KubernetesMembershipSource OfCluster(IServiceProvider provider, MembershipOptions options, Member self, Func<IServiceProvider, bool> isLast)
    {
        var time = provider.GetRequiredService<TimeProvider>();
        var random = new Random(provider.GetRequiredService<NodeIdentity>().Seed);
        var logger = provider.GetRequiredService<ILogger<KubernetesMembershipSource>>();
        var file = new MembersFile(options.StateFile, logger) { IsOurs = () => isLast(provider) };
        return new KubernetesMembershipSource(
            new NodeApi(KubernetesClientConfiguration.InClusterConfig(), options, time), options, file, self, random, time, logger);
    }

    /// <summary>Runs a source that has something to do, as long as the node runs.</summary>
    private sealed class MembershipRun(IMembershipSource source) : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => (source as IHostedService)?.StartAsync(cancellationToken) ?? Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => (source as IHostedService)?.StopAsync(cancellationToken) ?? Task.CompletedTask;
    }
}
