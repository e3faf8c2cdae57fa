using System.Collections.Frozen;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
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
    int MaxConcurrentRequests)
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
        var found = new List<string>();
        settings = new OriginSettings(
            Endpoints(options.Registries, found),
            Time(nameof(options.ConnectTimeout), options.ConnectTimeout, MinTimeout, MaxTimeout, found),
            Time(nameof(options.HeaderTimeout), options.HeaderTimeout, MinTimeout, MaxTimeout, found),
            Time(nameof(options.IdleTimeout), options.IdleTimeout, MinTimeout, MaxTimeout, found),
            Number(nameof(options.Retries), options.Retries, 0, 10, found),
            Time(nameof(options.RetryDelay), options.RetryDelay, TimeSpan.FromMilliseconds(1), TimeSpan.FromSeconds(10), found),
            Number(nameof(options.MaxRedirects), options.MaxRedirects, 0, 20, found),
            Number(nameof(options.MaxConcurrentRequests), options.MaxConcurrentRequests, 1, 1024, found));
        errors = found;
        if (found.Count > 0)
        {
            settings = null;
        }

        return settings is not null;
    }

    private static FrozenDictionary<string, RegistryEndpoint> Endpoints(List<OriginRegistryOptions> registries, List<string> errors)
    {
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
                errors.Add(Line($"Registries:{i}:Name", name, "a registry as images name it, host or host:port in lower case, such as docker.io or reg.example:5000"));
            }
            else if (!RegistryEndpoint.TryCreate(name, endpoint, out var parsed))
            {
                errors.Add(Line($"Registries:{i}:Endpoint", endpoint, "https://host[:port][/path] or http://host[:port][/path], without user, query and fragment"));
            }
            else if (!endpoints.TryAdd(name, parsed))
            {
                errors.Add(Line($"Registries:{i}:Name", name, "each registry once"));
            }
        }

        return endpoints.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static TimeSpan Time(string key, string? value, TimeSpan min, TimeSpan max, List<string> errors)
    {
        if (Duration.TryParse(value, out var time) && time >= min && time <= max)
        {
            return time;
        }

        errors.Add(Line(key, value, $"a duration from {Duration.Format(min)} to {Duration.Format(max)}, such as 500ms, 30s or 2m"));
        return default;
    }

    private static int Number(string key, string? value, int min, int max, List<string> errors)
    {
        if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= min && number <= max)
        {
            return number;
        }

        errors.Add(Line(key, value, $"a whole number from {min} to {max}"));
        return default;
    }

    private static string Line(string key, string? value, string allowed) =>
        $"{OriginOptions.SectionName}:{key}: '{Shown(value)}' is not allowed; use {allowed}";

    // A URL with user info holds a password: none of it is shown. Control characters would break the one line.
    private static string Shown(string? value)
    {
        if (value is null || value.Contains('@', StringComparison.Ordinal))
        {
            return value is null ? string.Empty : "(hidden: contains '@')";
        }

        var text = value.Length > 200 ? value[..200] + "…" : value;
        return string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
    }
}
