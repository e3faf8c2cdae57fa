using System.Text.Json;
using System.Text.RegularExpressions;

namespace Peerd.EndToEnd.Harness;

/// <summary>Where a blob is to be read.</summary>
/// <param name="Url">The Location of a redirect (mode <c>redirect</c>), or the registry's own URL (mode <c>self</c>).</param>
/// <param name="Authorization">For mode <c>self</c>: what the registry wants to see.</param>
internal sealed record BlobLocation(string Url, string? Authorization);

/// <summary>
/// Asks registries, and never the node, where blobs are: with a token if they want one, and without following redirects. What
/// it learned it remembers until a read fails; the real one forgets after 300 s without a read, which no test lasts. Thread-safe.
/// </summary>
internal sealed partial class OverlaybdResolver
{
    private const int MaxToken = 64 * 1024;

    // All tries of one read have this time; one that only waits for the registry has no more.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, Task<BlobLocation>> _known = new(StringComparer.Ordinal);
    private int _resolutions;

    /// <summary>How often a registry was asked for a blob.</summary>
    public int Resolutions => Volatile.Read(ref _resolutions);

    /// <summary>Where the blob is; readers at the same time share one answer.</summary>
    public Task<BlobLocation> ResolveAsync(string blobUrl)
    {
        lock (_gate)
        {
            return _known.TryGetValue(blobUrl, out var known) ? known : _known[blobUrl] = AskAsync(blobUrl);
        }
    }

    /// <summary>A read with what was learned has failed. What has been learned since stays.</summary>
    public void Forget(string blobUrl, Task<BlobLocation> learned)
    {
        lock (_gate)
        {
            if (_known.TryGetValue(blobUrl, out var known) && known == learned)
            {
                _known.Remove(blobUrl);
            }
        }
    }

    private async Task<BlobLocation> AskAsync(string blobUrl)
    {
        Interlocked.Increment(ref _resolutions);
        using var patience = new CancellationTokenSource(Patience);
        var authorization = await AuthorizeAsync(blobUrl, patience.Token);
        var answer = await GetHeadAsync(blobUrl, authorization is null ? [] : [$"Authorization: {authorization}"], patience.Token);
        return answer.Status switch
        {
            >= 300 and < 400 => new BlobLocation(answer.Find("Location") ?? throw new OverlaybdException(answer.Status, $"{blobUrl}: no Location"), null),
            200 => new BlobLocation(blobUrl, authorization),
            var status => throw new OverlaybdException(status, $"{blobUrl} with {authorization ?? "no token"}"),
        };
    }

    private static async Task<string?> AuthorizeAsync(string blobUrl, CancellationToken cancellationToken)
    {
        var answer = await GetHeadAsync(blobUrl, ["Range: bytes=0-0"], cancellationToken);
        if (answer.Status is not (401 or 403))
        {
            return null;
        }

        var challenge = answer.Find("WWW-Authenticate") ?? string.Empty;
        var parameters = Parameter().Matches(challenge).ToDictionary(match => match.Groups["name"].Value, match => match.Groups["value"].Value, StringComparer.Ordinal);
        if (!challenge.StartsWith("Bearer ", StringComparison.Ordinal)
            || !parameters.TryGetValue("realm", out var realm) || !parameters.TryGetValue("service", out var service) || !parameters.TryGetValue("scope", out var scope))
        {
            throw new OverlaybdException(answer.Status, $"{blobUrl}: the challenge '{challenge}' lacks realm, service or scope");
        }

        var (authority, target) = WireUrl.Split($"{realm}?service={service}&scope={scope}");
        using var connection = await WireConnection.ConnectAsync(authority, cancellationToken);
        var head = await connection.AskAsync(target, [], cancellationToken);
        using var json = JsonDocument.Parse(await connection.ReadBodyAsync(head, MaxToken, cancellationToken));
        return head.Status == 200
            ? $"Bearer {json.RootElement.GetProperty("token").GetString()}"
            : throw new OverlaybdException(head.Status, realm);
    }

    private static async Task<WireHead> GetHeadAsync(string url, IEnumerable<string> headers, CancellationToken cancellationToken)
    {
        // The body is not read: the connection ends with it.
        var (authority, target) = WireUrl.Split(url);
        using var connection = await WireConnection.ConnectAsync(authority, cancellationToken);
        return await connection.AskAsync(target, headers, cancellationToken);
    }

    [GeneratedRegex("(?<name>[a-z]+)=\"(?<value>[^\"]*)\"", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Parameter();
}
