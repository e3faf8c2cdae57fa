using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Options;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Storage;

/// <summary>Registers the piece cache.</summary>
internal static class PieceCacheServices
{
    /// <summary>
    /// Adds <see cref="PieceCache"/>, configured by section <c>Peerd:Cache</c> and opened when the host starts. The
    /// start fails with <see cref="CacheInUseException"/> when another process has the directory.
    /// </summary>
    public static IServiceCollection AddPieceCache(this IServiceCollection services, IConfiguration configuration)
    {
        services.AddOptions<CacheOptions>().Bind(configuration.GetSection(CacheOptions.Section)).ValidateOnStart();
        services.AddSingleton<IValidateOptions<CacheOptions>, CacheOptionsValidator>();
        services.TryAddSingleton(TimeProvider.System);
        services.AddMetrics();
        services.TryAddSingleton<IntegrityFailures>();
        services.AddSingleton(provider => new CacheLocks(provider.GetRequiredService<IOptions<CacheOptions>>().Value.Directory));
        services.AddSingleton(provider => PieceCache.Open(
            provider.GetRequiredService<IOptions<CacheOptions>>().Value,
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<PieceCache>>(),
            provider.GetRequiredService<CacheLocks>(),
            provider.GetRequiredService<IntegrityFailures>()));
        services.AddSingleton<CacheMetrics>();
        services.AddHostedService<CacheStart>();
        return services;
    }

    // Its constructor opens the cache before the listeners start.
    private sealed class CacheStart : IHostedService
    {
        public CacheStart(CacheMetrics metrics) => _ = metrics;

        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
