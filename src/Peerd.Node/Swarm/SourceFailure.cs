using System.Net;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>Why a content could not be read.</summary>
/// <param name="Status">The status for the client: what the origin answered, or 502 when it gave no usable answer.</param>
/// <param name="Error">What went wrong, without secrets.</param>
/// <param name="RetryAfter">Pause that the origin asked for.</param>
internal sealed record SourceFailure(HttpStatusCode Status, string Error, TimeSpan? RetryAfter = null)
{
    public static SourceFailure Of(OriginResponse response) => response.Outcome == OriginOutcome.Unreachable
        ? new SourceFailure(HttpStatusCode.BadGateway, response.Error)
        : new SourceFailure(response.Status == HttpStatusCode.Gone ? HttpStatusCode.NotFound : response.Status, response.Error, response.RetryAfter);
}
