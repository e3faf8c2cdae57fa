using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using Peerd.Contracts;

namespace Peerd.Node.Origin;

/// <summary>The checked form of <see cref="OriginOptions"/>. Immutable.</summary>
internal sealed record OriginSettings(
    FrozenDictionary<string, RegistryEndpoint> Registries,
    TimeSpan ConnectTimeout,
    TimeSpan HeaderTimeout,
    TimeSpan IdleTimeout,
    int Retries,
    TimeSpan RetryDelay,
    int MaxRedirects,
    int MaxConcurrentRequests,
    int RequestsPerSecond,
    TimeSpan NotFoundFor,
    bool RelayBasic,
    string CredentialsFile)
{
    private static readonly TimeSpan MinTimeout = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan MaxTimeout = TimeSpan.FromMinutes(10);

    /// <summary>Checks options that were validated at start before.</summary>
    /// <exception cref="ArgumentException">A value is not allowed.</exception>
    public static OriginSettings From(OriginOptions options) =>
        TryCreate(options, out var settings, out var errors) ? settings : throw new ArgumentException(string.Join('\n', errors));

    /// <summary>Checks options; on failure there is one line for each wrong key: key, value, what is allowed.</summary>
    public static bool TryCreate(OriginOptions options, [NotNullWhen(true)] out OriginSettings? settings, out IReadOnlyList<string> errors)
    {
        var found = new SettingFaults(OriginOptions.Section);
        settings = new OriginSettings(
            Endpoints(options, found),
            found.ReadDuration(nameof(options.ConnectTimeout), options.ConnectTimeout, MinTimeout, MaxTimeout),
            found.ReadDuration(nameof(options.HeaderTimeout), options.HeaderTimeout, MinTimeout, MaxTimeout),
            found.ReadDuration(nameof(options.IdleTimeout), options.IdleTimeout, MinTimeout, MaxTimeout),
            found.ReadNumber(nameof(options.Retries), options.Retries, 0, 10),
            found.ReadDuration(nameof(options.RetryDelay), options.RetryDelay, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(10)),
            found.ReadNumber(nameof(options.MaxRedirects), options.MaxRedirects, 0, 20),
            found.ReadNumber(nameof(options.MaxConcurrentRequests), options.MaxConcurrentRequests, 1, 1024),
            found.ReadNumber(nameof(options.RequestsPerSecond), options.RequestsPerSecond, 1, 10_000),
            found.ReadDuration(nameof(options.NotFoundFor), options.NotFoundFor, TimeSpan.Zero, TimeSpan.FromMinutes(1)),
            found.ReadFlag(nameof(options.RelayBasic), options.RelayBasic),
            options.CredentialsFile);
        errors = found.All;
        if (errors.Count > 0)
        {
            settings = null;
        }

        return settings is not null;
    }

    private static FrozenDictionary<string, RegistryEndpoint> Endpoints(OriginOptions options, SettingFaults faults)
    {
        var registries = options.Registries;
        if (options.CredentialsFile.Length > 0 && !Path.IsPathFullyQualified(options.CredentialsFile))
        {
            faults.Add(nameof(options.CredentialsFile), options.CredentialsFile, "an absolute path");
        }

        var usual = ReadAuth(nameof(options.Auth), options.Auth, options, faults);
        if (registries.Count == 0)
        {
            registries = [.. OriginOptions.DefaultRegistries.Select(name => new OriginRegistryOptions { Name = name })];
        }

        var endpoints = new Dictionary<string, RegistryEndpoint>(StringComparer.Ordinal);
        for (var i = 0; i < registries.Count; i++)
        {
            var (name, endpoint) = (registries[i].Name, registries[i].Endpoint);
            if (!RegistryName.IsValid(name))
            {
                faults.Add($"Registries:{i}:Name", name, RegistryName.Allowed);
            }
            else if (!RegistryEndpoint.TryCreate(name, endpoint, out var parsed))
            {
                faults.Add($"Registries:{i}:Endpoint", endpoint, "https://host[:port][/path] or http://host[:port][/path], without user, query and fragment");
            }
            else if (registries[i].TokenServers.FindIndex(server => !RegistryName.IsValid(server)) is >= 0 and var wrong)
            {
                faults.Add($"Registries:{i}:TokenServers:{wrong}", registries[i].TokenServers[wrong], RegistryName.Allowed);
            }
            else if (!endpoints.TryAdd(name, parsed.With(
                registries[i].Auth is { } auth ? ReadAuth($"Registries:{i}:Auth", auth, options, faults) : usual, registries[i].TokenServers)))
            {
                faults.Add($"Registries:{i}:Name", name, "each registry once");
            }
        }

        return endpoints.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static RegistryAuth ReadAuth(string key, string value, OriginOptions options, SettingFaults faults)
    {
        switch (value.ToLowerInvariant())
        {
            case "relay":
                return RegistryAuth.Relay;
            case "anonymous":
                return RegistryAuth.Anonymous;
            case "static" when options.CredentialsFile.Length > 0:
                return RegistryAuth.Static;
            case "static":
                faults.Add(key, value, $"static only with a file in {OriginOptions.Section}:{nameof(options.CredentialsFile)}");
                return default;
            default:
                faults.Add(key, value, "relay, anonymous or static");
                return default;
        }
    }
}
