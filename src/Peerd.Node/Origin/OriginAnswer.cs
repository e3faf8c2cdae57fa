using System.Net;
using System.Net.Http.Headers;
using Peerd.Contracts;
using Peerd.Node.Limits;

namespace Peerd.Node.Origin;

/// <summary>Makes of an HTTP answer what was asked for, and trusts nothing in it that does not fit together.</summary>
internal sealed class OriginAnswer(OriginSettings settings, OriginMetrics metrics, Bandwidth bandwidth, TimeProvider time)
{
    /// <summary>Largest manifest that is read.</summary>
    public const int MaxManifestSize = 4 * 1024 * 1024;

    public const string ManifestTooLarge = "manifest larger than 4 MiB";

    public static OriginResponse Unreachable(string error) => new() { Outcome = OriginOutcome.Unreachable, Error = error };

    /// <summary>The response when there is no message.</summary>
    public static OriginResponse Of(OriginFailure failure) => new()
    {
        Outcome = failure.Status == default ? OriginOutcome.Unreachable : OriginOutcome.Refused,
        Status = failure.Status,
        Error = failure.Error,
        RetryAfter = failure.RetryAfter,
        IsOwnWord = failure.Unasked is not null,
    };

    /// <summary>The response for a message, which it owns from here on. The body of a HEAD is empty.</summary>
    /// <param name="reference">What was asked for.</param>
    /// <param name="range">The bytes that were asked for; null for all.</param>
    /// <param name="method">GET or HEAD.</param>
    /// <param name="message">The answer.</param>
    /// <param name="challenge">What the registry asks the client for, which it may be told.</param>
    /// <param name="cancellationToken">Reaches to the socket.</param>
    public async Task<OriginResponse> ReadAsync(
        OriginReference reference, ByteRange? range, HttpMethod method, HttpResponseMessage message, AuthenticationHeaderValue? challenge, CancellationToken cancellationToken)
    {
        OriginResponse? response = null;
        try
        {
            var source = $"{reference.Registry} ({NameOf(reference.Kind)} {reference.Repository} {reference.Reference})";
            if (message.StatusCode is not (HttpStatusCode.OK or HttpStatusCode.PartialContent))
            {
                return Refused(source, message, challenge);
            }

            if (message.Content.Headers.ContentEncoding.Any(encoding => !string.Equals(encoding, "identity", StringComparison.OrdinalIgnoreCase)))
            {
                return Unreachable($"{source} sent an encoded body (Content-Encoding), which was not asked for");
            }

            response = method == HttpMethod.Head ? Head(source, message)
                : message.StatusCode == HttpStatusCode.PartialContent ? await PartAsync(source, reference, range, message, cancellationToken)
                : await WholeAsync(source, reference, range, message, cancellationToken);
            return response;
        }
        finally
        {
            if (response?.Outcome != OriginOutcome.Ok || method == HttpMethod.Head)
            {
                message.Dispose();
            }
        }
    }

    private static OriginResponse Head(string source, HttpResponseMessage message) => message.StatusCode == HttpStatusCode.OK
        ? new OriginResponse
        {
            Outcome = OriginOutcome.Ok,
            Status = message.StatusCode,
            TotalSize = message.Content.Headers.ContentLength,
            MediaType = MediaType(message),
            ContentDigest = ContentDigest(message),
        }
        : Unreachable($"{source} answered {(int)message.StatusCode} to HEAD");

    private static string NameOf(OriginKind kind) => kind switch
    {
        OriginKind.Manifest => "manifest",
        OriginKind.Tags => "tags",
        OriginKind.Referrers => "referrers",
        _ => "blob",
    };

    private static string? Single(HttpResponseMessage message, string header) =>
        message.Headers.NonValidated.TryGetValues(header, out var values) && values.Count == 1 ? values.ToString() : null;

    private static string? MediaType(HttpResponseMessage message) => message.Content.Headers.ContentType?.MediaType;

    private static Digest? ContentDigest(HttpResponseMessage message) =>
        message.Headers.NonValidated.TryGetValues("Docker-Content-Digest", out var values) && values.Count == 1 && Digest.TryParse(values.ToString(), out var digest) ? digest : null;

    private static OriginResponse OutOfRange(string source, long size) => new()
    {
        Outcome = OriginOutcome.Refused,
        Status = HttpStatusCode.RequestedRangeNotSatisfiable,
        Error = $"{source} has {size} bytes, the range begins behind them",
        TotalSize = size,
    };

    private OriginResponse Refused(string source, HttpResponseMessage message, AuthenticationHeaderValue? challenge) => (int)message.StatusCode < 400
        ? Unreachable($"{source} answered {(int)message.StatusCode}, which is no answer to what was asked")
        : new OriginResponse
        {
            Outcome = OriginOutcome.Refused,
            Status = message.StatusCode,
            Error = $"{source}: the registry answered {(int)message.StatusCode}",
            RetryAfter = RetryAfter.Of(message, time),
            Challenge = challenge,
            TotalSize = message.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable ? message.Content.Headers.ContentRange?.Length : null,
        };

    private async Task<OriginResponse> PartAsync(string source, OriginReference reference, ByteRange? asked, HttpResponseMessage message, CancellationToken cancellationToken)
    {
        if (asked is not { } range)
        {
            return Unreachable($"{source} sent a part although all was asked for");
        }

        var content = message.Content.Headers;
        if (content.ContentRange is not { Unit: "bytes", From: { } from, To: { } to, Length: { } total } || from != range.Offset
            || to < from || to > OriginExchange.LastByte(range) || total <= to
            || (content.ContentLength is { } length && length != to - from + 1))
        {
            return Unreachable($"{source} sent a wrong Content-Range to {range.Offset}+{range.Length}");
        }

        var part = ByteRange.FromBounds(from, to + 1);
        return Ok(message, total, part, (await OpenAsync(source, reference, message, cancellationToken)).Exactly(part.Length));
    }

    private async Task<OriginResponse> WholeAsync(string source, OriginReference reference, ByteRange? asked, HttpResponseMessage message, CancellationToken cancellationToken)
    {
        var size = message.Content.Headers.ContentLength;
        if (reference.Kind == OriginKind.Manifest && size > MaxManifestSize)
        {
            return Unreachable(ManifestTooLarge);
        }

        if (asked is { } range)
        {
            return await SkipAsync(source, reference, range, size, message, cancellationToken);
        }

        var body = await OpenAsync(source, reference, message, cancellationToken);
        return size is { } length ? Ok(message, length, new ByteRange(0, length), body.Exactly(length))
            : Ok(message, null, new ByteRange(0, -1), reference.Kind == OriginKind.Manifest ? body.Capped(MaxManifestSize) : body);
    }

    // The origin does not know ranges: what comes before the range is read for nothing.
    private async Task<OriginResponse> SkipAsync(string source, OriginReference reference, ByteRange range, long? size, HttpResponseMessage message, CancellationToken cancellationToken)
    {
        if (size <= range.Offset)
        {
            return OutOfRange(source, size.Value);
        }

        var body = await OpenAsync(source, reference, message, cancellationToken);
        try
        {
            var skipped = await body.SkipAsync(range.Offset, cancellationToken);
            if (skipped < range.Offset)
            {
                return OutOfRange(source, skipped);
            }
        }
        catch (IOException e)
        {
            return Unreachable($"{source} broke off before the range: {e.Message}");
        }

        if (size is not { } total)
        {
            return Ok(message, null, new ByteRange(range.Offset, -1), body.AtMost(range.Length));
        }

        var part = ByteRange.FromBounds(range.Offset, Math.Min(total, OriginExchange.LastByte(range) + 1));
        return Ok(message, total, part, body.Exactly(part.Length));
    }

    private async Task<OriginBody> OpenAsync(string source, OriginReference reference, HttpResponseMessage message, CancellationToken cancellationToken) =>
        new(await message.Content.ReadAsStreamAsync(cancellationToken), source, settings.IdleTimeout, metrics, time, PaceOf(reference));

    private OriginPace? PaceOf(OriginReference reference) => bandwidth.Origin is { } rate
        ? new OriginPace(rate, reference.IsUrgent ? static () => Urgency.Streaming : reference.Urgency ?? (static () => Urgency.Pull), Digest.TryParse(reference.Reference, out var digest) ? digest : default)
        : null;

    private static OriginResponse Ok(HttpResponseMessage message, long? total, ByteRange range, OriginBody body) => new(new Owner(message, body))
    {
        Outcome = OriginOutcome.Ok,
        Status = message.StatusCode,
        TotalSize = total,
        Range = range,
        Body = body,
        MediaType = MediaType(message),
        ContentDigest = ContentDigest(message),
        Link = Single(message, "Link"),
        FiltersApplied = Single(message, "OCI-Filters-Applied"),
    };

    private sealed class Owner(HttpResponseMessage message, OriginBody body) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await body.DisposeAsync();
            message.Dispose();
        }
    }
}
