using System.Net.Http.Headers;
using System.Text;

namespace Peerd.Node.Origin;

/// <summary>What a registry wants before it serves: a token of this realm, for this service and scope (Docker registry token flow).</summary>
/// <param name="Realm">URL of the token server, as it was sent.</param>
/// <param name="Service">Name of the registry at the token server; empty when not given.</param>
/// <param name="Scope">Space separated scopes; empty when not given.</param>
internal sealed record BearerChallenge(string Realm, string Service, string Scope)
{
    private const int MaxLength = 8 * 1024;

    /// <summary>The first Bearer challenge that can be answered; null when there is none, Basic for example.</summary>
    public static BearerChallenge? Find(IEnumerable<AuthenticationHeaderValue> challenges)
    {
        foreach (var challenge in challenges)
        {
            if (IsBearer(challenge) && Parse(challenge.Parameter) is { } found)
            {
                return found;
            }
        }

        return null;
    }

    /// <summary>What a client is told of several challenges: the first Bearer challenge that can be answered, else that for a password, else nothing.</summary>
    public static AuthenticationHeaderValue? FindForClient(IEnumerable<AuthenticationHeaderValue> challenges) =>
        challenges.FirstOrDefault(challenge => IsBearer(challenge) && Parse(challenge.Parameter) is not null)
        ?? challenges.FirstOrDefault(challenge => !IsBearer(challenge) && IsBasic(challenge));

    /// <summary>True when it asks for a password (RFC 7617).</summary>
    public static bool IsBasic(AuthenticationHeaderValue challenge) => string.Equals(challenge.Scheme, "Basic", StringComparison.OrdinalIgnoreCase);

    private static bool IsBearer(AuthenticationHeaderValue challenge) => string.Equals(challenge.Scheme, "Bearer", StringComparison.OrdinalIgnoreCase);

    /// <summary>Where a token is to be had with GET; false when the realm is no http or https URL.</summary>
    public bool TryLocate(out Uri url)
    {
        var text = new StringBuilder(Realm);
        var separator = Realm.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        if (Service.Length > 0)
        {
            text.Append(separator).Append("service=").Append(Uri.EscapeDataString(Service));
            separator = '&';
        }

        foreach (var scope in Scope.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            text.Append(separator).Append("scope=").Append(Uri.EscapeDataString(scope));
            separator = '&';
        }

        var isUrl = OriginUrl.TryParse(text.ToString(), out var parsed) && !Realm.Contains('#', StringComparison.Ordinal);
        url = parsed!;
        return isUrl;
    }

    /// <summary>Reads the parameters behind the scheme (RFC 9110, 11.2); null when they are malformed, name one twice or have no realm.</summary>
    public static BearerChallenge? Parse(string? parameters)
    {
        var (realm, service, scope) = (default(string), default(string), default(string));
        if (parameters is null || parameters.Length > MaxLength)
        {
            return null;
        }

        var rest = parameters.AsSpan();
        while (true)
        {
            rest = rest.TrimStart(", \t");
            if (rest.IsEmpty)
            {
                break;
            }

            if (!TryTakeName(ref rest, out var name) || !TryTakeValue(ref rest, out var value))
            {
                return null;
            }

            var isNew = name.ToLowerInvariant() switch
            {
                "realm" => Set(ref realm, value),
                "service" => Set(ref service, value),
                "scope" => Set(ref scope, value),
                _ => true,
            };
            if (!isNew)
            {
                return null;
            }
        }

        return string.IsNullOrEmpty(realm) ? null : new BearerChallenge(realm, service ?? string.Empty, scope ?? string.Empty);
    }

    private static bool Set(ref string? field, string value)
    {
        var isNew = field is null;
        field = value;
        return isNew;
    }

    private static bool TryTakeName(ref ReadOnlySpan<char> rest, out string name)
    {
        var equals = rest.IndexOf('=');
        name = equals > 0 ? rest[..equals].Trim(" \t").ToString() : string.Empty;
        rest = equals > 0 ? rest[(equals + 1)..].TrimStart(" \t") : rest;
        return name.Length > 0 && !name.AsSpan().ContainsAny("\", \t;");
    }

    private static bool TryTakeValue(ref ReadOnlySpan<char> rest, out string value)
    {
        value = string.Empty;
        if (rest.IsEmpty || rest[0] != '"')
        {
            // Scopes hold colons and slashes, which a token must not; some servers send them without quotes.
            var end = rest.IndexOf(',');
            value = (end < 0 ? rest : rest[..end]).Trim(" \t").ToString();
            rest = end < 0 ? [] : rest[end..];
            return value.Length > 0 && !value.AsSpan().ContainsAny('"', ' ', '\t');
        }

        var text = new StringBuilder();
        for (var i = 1; i < rest.Length; i++)
        {
            switch (rest[i])
            {
                case '"':
                    value = text.ToString();
                    rest = rest[(i + 1)..].TrimStart(" \t");
                    return rest.IsEmpty || rest[0] == ',';
                case '\\' when i + 1 < rest.Length:
                    text.Append(rest[++i]);
                    break;
                default:
                    text.Append(rest[i]);
                    break;
            }
        }

        return false;
    }
}
