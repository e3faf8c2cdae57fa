using System.Diagnostics.CodeAnalysis;
using System.Net;

namespace Peerd.Node.Origin;

/// <summary>Where a registry may send us. Pure: names are checked again when they are resolved, see <see cref="OriginTransport"/>.</summary>
internal static class RedirectPolicy
{
    public static bool IsRedirect(HttpStatusCode status) => (int)status is 301 or 302 or 303 or 307 or 308;

    /// <summary>
    /// The target of a redirect, or why it is not followed: no usable Location, clear text after TLS, an address of
    /// this machine or of its link.
    /// </summary>
    /// <param name="endpoint">The registry that the request was for.</param>
    /// <param name="from">The URL that answered.</param>
    /// <param name="location">The Location header as it came.</param>
    /// <param name="target">Where to go.</param>
    /// <param name="reason">Why not, without the query of any URL.</param>
    public static bool TryFollow(RegistryEndpoint endpoint, Uri from, string? location, [NotNullWhen(true)] out Uri? target, [NotNullWhen(false)] out string? reason)
    {
        target = null;
        reason = null;
        if (!TryResolve(from, location, out var resolved))
        {
            reason = "the Location of the redirect is missing or malformed";
        }
        else if (RefusalOf(endpoint, resolved) is { } refusal)
        {
            reason = $"the redirect to {OriginUrl.Redact(resolved)} is not followed: {refusal}";
        }
        else
        {
            target = resolved;
        }

        return target is not null;
    }

    /// <summary>Why this registry must not lead us to that URL; null when it may. The rule for redirects and for token servers.</summary>
    public static string? RefusalOf(RegistryEndpoint endpoint, Uri url) =>
        url.Scheme != Uri.UriSchemeHttps && !endpoint.IsClearText ? "it is clear text, the registry is not"
        : !endpoint.IsLocal && IPAddress.TryParse(url.IdnHost, out var literal) && AddressPolicy.IsForbidden(literal) ? "its address is not allowed"
        : null;

    /// <summary>The Location of a redirect as it came; null when there is not exactly one.</summary>
    public static string? LocationOf(HttpResponseMessage message) =>
        message.Headers.NonValidated.TryGetValues("Location", out var values) && values.Count == 1 ? values.ToString() : null;

    /// <summary>The URL that a Location means, byte by byte as it came where that is possible; false when it is none.</summary>
    public static bool TryResolve(Uri from, string? location, [NotNullWhen(true)] out Uri? target)
    {
        target = null;
        if (string.IsNullOrEmpty(location))
        {
            return false;
        }

        if (location.StartsWith("//", StringComparison.Ordinal))
        {
            return OriginUrl.TryParse($"{from.Scheme}:{location}", out target);
        }

        if (location[0] is '/')
        {
            return OriginUrl.TryParse($"{from.GetLeftPart(UriPartial.Authority)}{location}", out target);
        }

        if (OriginUrl.TryParse(location, out target))
        {
            return true;
        }

        // Relative to the path: rare, and no signed URL looks like that, so canonicalization does no harm. The
        // characters are checked before, because Uri would quietly escape some of them and drop others.
        return !location.AsSpan().ContainsAnyExceptInRange('!', '~') && !location.AsSpan().ContainsAny('\\', ':')
            && Uri.TryCreate(from, location, out var relative) && OriginUrl.TryParse(relative.AbsoluteUri, out target);
    }
}
