using System.Collections.Frozen;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Origin;

/// <summary>
/// Credentials by registry, from a file in the form of Docker's <c>config.json</c> (<c>auths</c>). Read again when it is
/// needed and has changed, at most once a second; a file that cannot be read or understood leaves what was read before.
/// Thread-safe.
/// </summary>
internal sealed partial class CredentialFile(OriginSettings settings, TimeProvider time, ILogger<CredentialFile> logger) : IDisposable
{
    private const int MaxSize = 1024 * 1024;
    private static readonly TimeSpan ReadTimeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _reading = new(1, 1);
    private FrozenDictionary<string, RegistryCredential> _credentials = FrozenDictionary<string, RegistryCredential>.Empty;
    private byte[] _bytes = [];
    private string _fault = string.Empty;
    private long? _readAt;

    /// <summary>What there is for a registry; null when there is nothing.</summary>
    public async Task<RegistryCredential?> FindAsync(string registry, CancellationToken cancellationToken)
    {
        await _reading.WaitAsync(cancellationToken);
        try
        {
            if (_readAt is not { } at || time.GetElapsedTime(at) >= Period)
            {
                // By its own time: a client that leaves must not leave others without what is there.
                using var deadline = new CancellationTokenSource(ReadTimeout, time);
                await ReadAsync(deadline.Token);
                _readAt = time.GetTimestamp();
            }

            return _credentials.GetValueOrDefault(registry);
        }
        finally
        {
            _reading.Release();
        }
    }

    public void Dispose() => _reading.Dispose();

    /// <summary>Understands the file; throws <see cref="JsonException"/> or <see cref="FormatException"/> when it is another thing.</summary>
    public static FrozenDictionary<string, RegistryCredential> Parse(ReadOnlySpan<byte> json)
    {
        var entries = JsonSerializer.Deserialize(json, CredentialJson.Default.CredentialDocument)?.Auths ?? [];
        var credentials = new Dictionary<string, RegistryCredential>(StringComparer.Ordinal);
        foreach (var (key, entry) in entries)
        {
            if (entry is not null && CredentialOf(entry) is { } credential)
            {
                // The first wins: Docker writes each registry once.
                credentials.TryAdd(RegistryOf(key), credential);
            }
        }

        return credentials.ToFrozenDictionary(StringComparer.Ordinal);
    }

    private static RegistryCredential? CredentialOf(CredentialEntry entry)
    {
        if (!string.IsNullOrEmpty(entry.IdentityToken))
        {
            return new RegistryCredential(string.Empty, entry.IdentityToken, IsIdentityToken: true);
        }

        var (user, password) = (entry.Username, entry.Password);
        if (!string.IsNullOrEmpty(entry.Auth))
        {
            var text = Encoding.UTF8.GetString(Convert.FromBase64String(entry.Auth));
            var colon = text.IndexOf(':', StringComparison.Ordinal);
            if (colon < 0)
            {
                throw new FormatException("an auth is not user:password in base64");
            }

            (user, password) = (text[..colon], text[(colon + 1)..].TrimEnd('\0'));
        }

        return string.IsNullOrEmpty(user) || password is null ? null : new RegistryCredential(user, password, IsIdentityToken: false);
    }

    // Docker's own registry has a URL of old times as its key; others may be written with scheme and path.
    private static string RegistryOf(string key)
    {
        var start = key.IndexOf("://", StringComparison.Ordinal) is >= 0 and var scheme ? scheme + 3 : 0;
        var host = key[start..];
        var slash = host.IndexOf('/', StringComparison.Ordinal);
        host = (slash < 0 ? host : host[..slash]).ToLowerInvariant();
        return host is "index.docker.io" or "registry-1.docker.io" ? "docker.io" : host;
    }

    private async Task ReadAsync(CancellationToken cancellationToken)
    {
        try
        {
            await using var file = new FileStream(settings.CredentialsFile, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            var bytes = await BoundedBody.ReadAsync(file, MaxSize, cancellationToken) ?? throw new InvalidDataException($"it has more than {MaxSize} bytes");
            if (!bytes.AsSpan().SequenceEqual(_bytes) || _fault.Length > 0)
            {
                _credentials = Parse(bytes);
                _bytes = bytes;
                Log.Read(logger, settings.CredentialsFile, _credentials.Count);
            }

            _fault = string.Empty;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or FormatException or InvalidDataException or OperationCanceledException)
        {
            // Messages of JSON readers may quote what they read.
            var fault = e is JsonException ? "it is no JSON in the form of Docker's config.json" : e.Message;
            if (fault != _fault)
            {
                _fault = fault;
                Log.Unread(logger, settings.CredentialsFile, fault);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(330, LogLevel.Information, "Credentials for {Count} registries were read from {File}")]
        public static partial void Read(ILogger logger, string file, int count);

        [LoggerMessage(331, LogLevel.Warning, "The credentials in {File} cannot be read, and those that were read before stay: {Reason}")]
        public static partial void Unread(ILogger logger, string file, string reason);
    }
}

/// <summary>Docker's <c>config.json</c>, as far as it is used.</summary>
internal sealed record CredentialDocument([property: JsonPropertyName("auths")] Dictionary<string, CredentialEntry?>? Auths);

/// <summary>One registry in it.</summary>
internal sealed record CredentialEntry(
    [property: JsonPropertyName("auth")] string? Auth,
    [property: JsonPropertyName("username")] string? Username,
    [property: JsonPropertyName("password")] string? Password,
    [property: JsonPropertyName("identitytoken")] string? IdentityToken);

/// <summary>Reads <see cref="CredentialDocument"/> without reflection.</summary>
[JsonSerializable(typeof(CredentialDocument))]
internal sealed partial class CredentialJson : JsonSerializerContext;
