using System.Net;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>Adds the client of the registries and of the stores of blobs.</summary>
internal static class OriginRegistration
{
    /// <summary>Adds <see cref="IOrigin"/>, configured by sections <c>Peerd:Origin</c> and <c>Peerd:Blobs</c> of <paramref name="configuration"/> (the root).</summary>
    public static IServiceCollection AddOrigin(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<OriginOptions>().Bind(configuration.GetSection(OriginOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<OriginOptions>, OriginOptionsValidator>();
        services.AddMetrics();
        services.AddLimits(configuration);
        services.TryAddSingleton(TimeProvider.System);
        services.TryAddSingleton<HostResolver>(static (host, cancellationToken) => Dns.GetHostAddressesAsync(host, cancellationToken));
        services.AddSingleton(static provider => OriginSettings.From(provider.GetRequiredService<IOptions<OriginOptions>>().Value));
        services.AddOptions<BlobOptions>().Bind(configuration.GetSection(BlobOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<BlobOptions>, BlobOptionsValidator>();
        services.AddSingleton(static provider => BlobHosts.From(provider.GetRequiredService<IOptions<BlobOptions>>().Value, provider.GetRequiredService<OriginSettings>()));
        services.AddSingleton<OriginMetrics>();
        services.AddSingleton<OriginTransport>();
        services.AddSingleton<CredentialFile>();
        services.AddSingleton<TokenSource>();
        services.AddSingleton<OriginExchange>();
        services.AddSingleton<RegistryOrigin>();
        services.AddSingleton<BlobStores>();
        services.AddSingleton<IOrigin, Origins>();
        return services;
    }

    private sealed class OriginOptionsValidator : IValidateOptions<OriginOptions>
    {
        public ValidateOptionsResult Validate(string? name, OriginOptions options) =>
            OriginSettings.TryCreate(options, out _, out var errors) ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(errors);
    }
}
