using System.Net;
using System.Net.Http.Headers;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>Why a content could not be read.</summary>
/// <param name="Status">The status for the client: what the origin answered, or 502 when it gave no usable answer.</param>
/// <param name="Error">What went wrong, without secrets.</param>
/// <param name="RetryAfter">Pause that the origin asked for.</param>
/// <param name="Challenge">With 401: what the registry asks the client for; null when the client could not answer it.</param>
internal sealed record SourceFailure(HttpStatusCode Status, string Error, TimeSpan? RetryAfter = null, AuthenticationHeaderValue? Challenge = null)
{
    public static SourceFailure Of(OriginResponse response) => response.Outcome == OriginOutcome.Unreachable
        ? new SourceFailure(HttpStatusCode.BadGateway, response.Error)
        : new SourceFailure(response.Status == HttpStatusCode.Gone ? HttpStatusCode.NotFound : response.Status, response.Error, response.RetryAfter, response.Challenge);
}
