using System.Collections.Frozen;
using System.Net;
using Peerd.Contracts;
using Peerd.Node.Limits;
using Polly;

namespace Peerd.Node.Origin;

/// <summary>
/// The configured registries. Repeats what may work a moment later, before the first byte of a body only; everything
/// else the caller is told as it is. Thread-safe.
/// </summary>
internal sealed partial class RegistryOrigin : IOrigin, IDisposable
{
    private readonly FrozenDictionary<string, RegistryState> _registries;
    private readonly OriginExchange _exchange;
    private readonly OriginAnswer _answer;
    private readonly NotFoundMemory _notFound;
    private readonly OriginMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger<RegistryOrigin> _logger;
    private readonly ResiliencePipeline<OriginAttempt> _retries;

    public RegistryOrigin(OriginSettings settings, OriginExchange exchange, OriginMetrics metrics, Bandwidth bandwidth, TimeProvider time, ILogger<RegistryOrigin> logger)
    {
        _registries = settings.Registries.ToFrozenDictionary(pair => pair.Key, pair => new RegistryState(pair.Value, settings, time, logger), StringComparer.Ordinal);
        _exchange = exchange;
        _answer = new OriginAnswer(settings, metrics, bandwidth, time);
        _notFound = new NotFoundMemory(settings.NotFoundFor, time);
        _metrics = metrics;
        _time = time;
        _logger = logger;
        _retries = OriginAttempt.Retries(settings, time);
    }

    public bool Serves(string registry) => _registries.ContainsKey(registry);

    public bool Relays(string registry) => _registries.TryGetValue(registry, out var known) && known.Endpoint.Auth == RegistryAuth.Relay;

    public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken)
    {
        if (range is { } bytes)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(bytes.Offset, nameof(range));
            ArgumentOutOfRangeException.ThrowIfNegativeOrZero(bytes.Length, nameof(range));
        }

        return AskAsync(reference, HttpMethod.Get, range, cancellationToken);
    }

    public async Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken)
    {
        var head = await AskAsync(reference, HttpMethod.Head, range: null, cancellationToken);
        return reference.Kind == OriginKind.Manifest
            ? await StatManifestAsync(reference, head, cancellationToken)
            : await StatBlobAsync(reference, head, cancellationToken);
    }

    public void Dispose()
    {
        foreach (var registry in _registries.Values)
        {
            registry.Dispose();
        }
    }

    private async Task<OriginResponse> StatManifestAsync(OriginReference reference, OriginResponse head, CancellationToken cancellationToken)
    {
        if (head is { Outcome: OriginOutcome.Ok, TotalSize: > OriginAnswer.MaxManifestSize })
        {
            return OriginAnswer.Unreachable(OriginAnswer.ManifestTooLarge);
        }

        var isEnough = head is { Outcome: OriginOutcome.Ok, TotalSize: not null } && (head.ContentDigest is not null || Digest.TryParse(reference.Reference, out _));
        if (isEnough || !(head.Outcome == OriginOutcome.Ok || head.Status is HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotImplemented))
        {
            return head;
        }

        await using var whole = await AskAsync(reference, HttpMethod.Get, range: null, cancellationToken);
        if (whole.Outcome != OriginOutcome.Ok)
        {
            return whole;
        }

        byte[]? bytes;
        try
        {
            bytes = await BoundedBody.ReadAsync(whole.Body, OriginAnswer.MaxManifestSize, cancellationToken);
        }
        catch (IOException e)
        {
            return OriginAnswer.Unreachable(e.Message);
        }

        if (bytes is null)
        {
            return OriginAnswer.Unreachable(OriginAnswer.ManifestTooLarge);
        }

        if (whole.ContentDigest is { } claimed && !IsDigestOf(claimed, bytes))
        {
            return OriginAnswer.Unreachable($"{reference.Registry} sent a manifest that does not match its Docker-Content-Digest");
        }

        return new OriginResponse
        {
            Outcome = OriginOutcome.Ok,
            Status = whole.Status,
            TotalSize = bytes.Length,
            MediaType = whole.MediaType,
            ContentDigest = whole.ContentDigest ?? Digest.OfSha256(bytes),
        };
    }

    private static bool IsDigestOf(Digest digest, byte[] bytes)
    {
        using var hash = digest.CreateHash();
        hash.AppendData(bytes);
        return digest.Matches(hash);
    }

    // Some registries refuse HEAD where GET works; of the GET one byte is enough, its Content-Range has the size.
    private async Task<OriginResponse> StatBlobAsync(OriginReference reference, OriginResponse head, CancellationToken cancellationToken)
    {
        var isWorthAGet = head is { Outcome: OriginOutcome.Ok, TotalSize: null }
            || head.Status is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden or HttpStatusCode.MethodNotAllowed or HttpStatusCode.NotImplemented;
        if (!isWorthAGet)
        {
            return head;
        }

        await using var first = await AskAsync(reference, HttpMethod.Get, new ByteRange(0, 1), cancellationToken, isCheck: true);
        var isEmpty = first is { Status: HttpStatusCode.RequestedRangeNotSatisfiable, TotalSize: 0 };
        return first.Outcome != OriginOutcome.Ok && !isEmpty
            ? first
            : new OriginResponse
            {
                Outcome = OriginOutcome.Ok,
                Status = HttpStatusCode.OK,
                TotalSize = first.TotalSize,
                MediaType = first.MediaType,
                ContentDigest = first.ContentDigest,
            };
    }

    private async Task<OriginResponse> AskAsync(OriginReference reference, HttpMethod method, ByteRange? range, CancellationToken cancellationToken, bool isCheck = false)
    {
        if (!_registries.TryGetValue(reference.Registry, out var registry))
        {
            return OriginAnswer.Unreachable("the registry is not configured");
        }

        if (!registry.Endpoint.TryLocate(reference, out var url))
        {
            return OriginAnswer.Unreachable("the repository or reference is malformed");
        }

        var question = new OriginQuestion(registry, reference, url, method, range, isCheck);
        if (KnownAnswer(question) is { } known)
        {
            return Unasked(known);
        }

        var slot = await registry.LaneOf(question).EnterAsync(cancellationToken);
        if (!slot.IsAcquired)
        {
            slot.Dispose();
            return Unasked(registry.QueueFull);
        }

        OriginResponse? handedOver = null;
        try
        {
            // Others were answered while this one waited.
            if (KnownAnswer(question) is { } meanwhile)
            {
                return Unasked(meanwhile);
            }

            var attempt = await _retries.ExecuteAsync(
                (asked, token) => new ValueTask<OriginAttempt>(AttemptAsync(asked.Question, asked.Since, token)), (Question: question, Since: _time.GetTimestamp()), cancellationToken);
            Note(question, attempt);
            var response = attempt.Response;
            if (response.Outcome != OriginOutcome.Ok || method == HttpMethod.Head)
            {
                return response;
            }

            handedOver = response.Holding(slot);
            return handedOver;
        }
        finally
        {
            if (handedOver is null)
            {
                slot.Dispose();
            }
        }
    }

    // Said without a request, because the registry said it a moment ago.
    private OriginFailure? KnownAnswer(OriginQuestion question) =>
        _notFound.Find(question.Reference, question.Method) ?? _exchange.RefusalOf(question);

    private OriginResponse Unasked(OriginFailure failure)
    {
        _metrics.Unasked(failure.Unasked!.Value);
        return OriginAnswer.Of(failure);
    }

    private async Task<OriginAttempt> AttemptAsync(OriginQuestion question, long since, CancellationToken cancellationToken)
    {
        var reply = await _exchange.SendAsync(question, cancellationToken);
        if (reply.Message is not { } message)
        {
            var failure = reply.Failure!;
            return new OriginAttempt(OriginAnswer.Of(failure), failure.IsPassing && failure.RetryAfter is null, since, failure.Unasked);
        }

        var response = await _answer.ReadAsync(question.Reference, question.Range, question.Method, message, reply.Challenge, cancellationToken);

        // An origin that says when to come back is not asked before; the caller decides whether to wait.
        var isPassing = response is { Outcome: OriginOutcome.Refused, RetryAfter: null } && (int)response.Status is 408 or 500 or 502 or 503 or 504;
        return new OriginAttempt(response, isPassing, since);
    }

    // One line when a registry is lost and one when it is back, however many requests fail in between.
    private void Note(OriginQuestion question, OriginAttempt attempt)
    {
        if (attempt.Unasked is { } reason)
        {
            _metrics.Unasked(reason);
            return;
        }

        var registry = question.Registry;
        _notFound.Note(question.Reference, question.Method, attempt.Response.Status);
        var isLost = attempt is { IsPassing: true, Response.Outcome: OriginOutcome.Unreachable };
        if (!registry.Note(!isLost))
        {
            return;
        }

        if (isLost)
        {
            Log.Lost(_logger, registry.Endpoint.Name, attempt.Response.Error);
        }
        else
        {
            Log.Back(_logger, registry.Endpoint.Name);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(310, LogLevel.Warning, "Registry {Registry} cannot be reached: {Error}")]
        public static partial void Lost(ILogger logger, string registry, string error);

        [LoggerMessage(311, LogLevel.Information, "Registry {Registry} can be reached again")]
        public static partial void Back(ILogger logger, string registry);
    }
}
