using System.Net;
using System.Text;
using Peerd.Contracts;
using Peerd.Node.Origin;

namespace Peerd.Node.Facade;

/// <summary>
/// Passes lists of tags and referrers to the registry: only that knows them. While it is down there is a 404, after which
/// clients ask elsewhere. An answer is sent only when it has come as a whole.
/// </summary>
internal sealed class ListEndpoint(IOrigin origin)
{
    private const int LongestHeader = 256;

    /// <param name="context">A GET.</param>
    /// <param name="target">A list.</param>
    /// <param name="registry">Registry that has it.</param>
    /// <param name="credential">What the client brought for the registry; null when it is read with what this node has.</param>
    /// <param name="deadline">Ends the wait for the answer.</param>
    public async Task AnswerAsync(HttpContext context, RequestTarget target, string registry, CallerCredential? credential, CancellationToken deadline)
    {
        if (HttpMethods.IsHead(context.Request.Method))
        {
            await RegistryAnswer.WriteErrorAsync(
                context, new RegistryError(HttpStatusCode.MethodNotAllowed, RegistryError.Unsupported, "lists are for GET only"), ("Allow", "GET"));
            return;
        }

        var isReferrers = target.Kind == RequestKind.Referrers;
        var reference = new OriginReference(registry, target.Repository, isReferrers ? OriginKind.Referrers : OriginKind.Tags, target.Reference) { Query = target.Query, Credential = credential };
        await using var list = await origin.ReadAsync(reference, range: null, deadline);
        if (list.Outcome != OriginOutcome.Ok)
        {
            await RegistryAnswer.WriteErrorAsync(context, Refusal(list, isReferrers));
            return;
        }

        byte[]? body;
        try
        {
            body = await BoundedBody.ReadAsync(list.Body, OriginAnswer.MaxManifestSize, deadline);
        }
        catch (IOException)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.NotFound(RegistryError.Unsupported, "the registry broke off its list"));
            return;
        }

        if (body is null)
        {
            await RegistryAnswer.WriteErrorAsync(context, RegistryError.BadGateway(RegistryError.Unavailable, "the list of the registry is larger than 4 MiB"));
            return;
        }

        var response = context.Response;
        response.ContentType = list.MediaType is "application/json" or ManifestMediaType.Index ? list.MediaType : isReferrers ? ManifestMediaType.Index : "application/json";
        response.ContentLength = body.Length;
        if (!IsForNone(target) && NextPage(list.Link, target) is { } next)
        {
            var ns = target.Registry is null ? string.Empty : $"&ns={Uri.EscapeDataString(target.Registry)}";
            response.Headers.Link = $"</v2/{target.Repository}/{(isReferrers ? "referrers" : "tags")}/{target.Reference}?{next}{ns}>; rel=\"next\"";
        }

        if (isReferrers && list.FiltersApplied is { Length: > 0 and <= LongestHeader } filters && Ascii.IsValid(filters) && !filters.Any(char.IsControl))
        {
            response.Headers[RegistryHeaders.FiltersApplied] = filters;
        }

        await response.BodyWriter.WriteAsync(body, context.RequestAborted);
    }

    private static RegistryError Refusal(OriginResponse list, bool isReferrers)
    {
        var isNo = list.Outcome == OriginOutcome.Refused && (int)list.Status is >= 400 and < 500 and not (404 or 408 or 410 or 429);
        return isNo ? RegistryError.Of(list)
            : RegistryError.NotFound(isReferrers ? RegistryError.ManifestUnknown : RegistryError.NameUnknown, list.Error.Length is > 0 and <= 512 ? list.Error : "the registry does not tell");
    }

    // A list of no tags ends with itself, whatever the registry says.
    private static bool IsForNone(RequestTarget target) =>
        target.Kind == RequestKind.Tags && target.Query.Split('&').Any(parameter => parameter.StartsWith("n=", StringComparison.Ordinal) && parameter.AsSpan(2).TrimStart('0').IsEmpty);

    // Of the registry's link only the parameters count: the path is the same, and the host is this one.
    private static string? NextPage(string? link, RequestTarget target)
    {
        if (link is null || !link.StartsWith('<') || link.IndexOf('>', StringComparison.Ordinal) is not (> 0 and var end)
            || !link.AsSpan(end).Contains("next", StringComparison.OrdinalIgnoreCase))
        {
            return null;
        }

        var mark = link.IndexOf('?', StringComparison.Ordinal);
        return mark > 0 && mark < end && ListQuery.TryParse(link.AsSpan(mark + 1, end - mark - 1), target.Kind, out var query) && query.Length > 0 ? query : null;
    }
}
