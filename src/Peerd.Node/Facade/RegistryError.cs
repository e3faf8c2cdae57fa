using System.Net;
using System.Net.Http.Headers;
using Peerd.Node.Content;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>An error as the client sees it: status and the error object of the OCI distribution specification.</summary>
/// <param name="Status">Status of the answer. Below <c>/v2</c> 401 only with the registry's own challenge, and never 408 or 429 (containerd repeats those six times at once).</param>
/// <param name="Code">Code of the specification, or one that says more where it has none.</param>
/// <param name="Message">For people; shown by containerd.</param>
/// <param name="RetryAfter">Pause that the client is asked for.</param>
/// <param name="Challenge">With 401: what the registry asks the client for.</param>
internal sealed record RegistryError(HttpStatusCode Status, string Code, string Message, TimeSpan? RetryAfter = null, AuthenticationHeaderValue? Challenge = null)
{
    public const string NameInvalid = "NAME_INVALID";
    public const string NameUnknown = "NAME_UNKNOWN";
    public const string DigestInvalid = "DIGEST_INVALID";
    public const string ManifestUnknown = "MANIFEST_UNKNOWN";
    public const string ManifestInvalid = "MANIFEST_INVALID";
    public const string BlobUnknown = "BLOB_UNKNOWN";
    public const string RangeInvalid = "RANGE_INVALID";
    public const string Unauthorized = "UNAUTHORIZED";
    public const string Denied = "DENIED";
    public const string Unsupported = "UNSUPPORTED";
    public const string TooManyRequests = "TOOMANYREQUESTS";
    public const string Unavailable = "UNAVAILABLE";
    public const string Unknown = "UNKNOWN";

    public static RegistryError BadRequest(string code, string message) => new(HttpStatusCode.BadRequest, code, message);

    public static RegistryError NotFound(string code, string message) => new(HttpStatusCode.NotFound, code, message);

    public static RegistryError BadGateway(string code, string message) => new(HttpStatusCode.BadGateway, code, message);

    /// <summary>What to say about a content that cannot be read.</summary>
    public static RegistryError Of(ContentFacts facts, OriginKind kind) => Of(facts.Status, kind, facts.Error, facts.RetryAfter, facts.Challenge);

    /// <summary>What to say about what the origin did not give.</summary>
    public static RegistryError Of(OriginResponse response, OriginKind kind = OriginKind.Manifest) =>
        Of(response.Outcome == OriginOutcome.Refused ? response.Status : HttpStatusCode.BadGateway, kind, response.Error, response.RetryAfter, response.Challenge);

    private static RegistryError Of(HttpStatusCode status, OriginKind kind, string error, TimeSpan? retryAfter, AuthenticationHeaderValue? challenge)
    {
        var unknown = kind == OriginKind.Manifest ? ManifestUnknown : BlobUnknown;
        return status switch
        {
            HttpStatusCode.NotFound or HttpStatusCode.Gone => NotFound(unknown, Text(error, "not known to the registry, nor to the mesh")),

            HttpStatusCode.Unauthorized when challenge is not null => new(HttpStatusCode.Unauthorized, Unauthorized, Text(error, "the registry asks for credentials"), Challenge: challenge),

            // A challenge of our own would make the client send its password to us, so there is none.
            HttpStatusCode.Unauthorized => NotFound(Unauthorized, Text(error, "the registry asks for credentials that this node does not have")),
            HttpStatusCode.Forbidden or HttpStatusCode.UnavailableForLegalReasons => new(HttpStatusCode.Forbidden, Denied, Text(error, "the registry forbids it")),
            HttpStatusCode.TooManyRequests => new(HttpStatusCode.ServiceUnavailable, TooManyRequests, Text(error, "the registry asks for a pause"), retryAfter),
            HttpStatusCode.ServiceUnavailable => new(HttpStatusCode.ServiceUnavailable, Unavailable, Text(error, "the registry is not available"), retryAfter),
            HttpStatusCode.GatewayTimeout => new(HttpStatusCode.GatewayTimeout, Unavailable, Text(error, "the registry did not answer in time")),
            _ => BadGateway(Unavailable, Text(error, "the registry gave no usable answer")),
        };
    }

    private static string Text(string error, string otherwise) => error.Length switch
    {
        0 => otherwise,
        > 512 => error[..512],
        _ => error,
    };
}
