using System.Collections;
using Peerd.Node.Storage;

namespace Peerd.Node.Facade;

/// <summary>What is kept of one request beside the exchange itself; also the scope of all that is logged for it. For one request at a time.</summary>
/// <param name="id">Names the request in logs and in the answer.</param>
internal sealed class FacadeRequest(string id) : IReadOnlyList<KeyValuePair<string, object?>>
{
    /// <summary>The header that carries the name.</summary>
    public const string IdHeader = "X-Request-Id";

    private const int LongestId = 64;

    public string Id => id;

    /// <summary>The furthest of the sources that the bytes of the answer are from, as far as it has come.</summary>
    public ByteSource Source { get; private set; }

    /// <summary>What the client was told when it could not be served; null when it could.</summary>
    public string? Failure { get; private set; }

    public int Count => 1;

    public KeyValuePair<string, object?> this[int index] => index == 0 ? new("Request", id) : throw new ArgumentOutOfRangeException(nameof(index));

    /// <summary>Begins a request: with the name that the client gave it, if that can do no harm in logs, else with one of its own.</summary>
    public static FacadeRequest Begin(HttpContext context)
    {
        if (context.Request.Headers[IdHeader] is [{ Length: > 0 and <= LongestId } given] && given.All(IsHarmless))
        {
            context.TraceIdentifier = given;
        }

        var request = new FacadeRequest(context.TraceIdentifier);
        context.Features.Set(request);
        return request;
    }

    /// <summary>Bytes of the answer are from this source, or not nearer.</summary>
    public static void CameFrom(HttpContext context, ByteSource source)
    {
        if (context.Features.Get<FacadeRequest>() is { } request && source > request.Source)
        {
            request.Source = source;
        }
    }

    /// <summary>The client is told this.</summary>
    public static void Failed(HttpContext context, string message)
    {
        if (context.Features.Get<FacadeRequest>() is { } request)
        {
            request.Failure = message;
        }
    }

    public IEnumerator<KeyValuePair<string, object?>> GetEnumerator()
    {
        yield return this[0];
    }

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    public override string ToString() => $"request {id}";

    private static bool IsHarmless(char c) => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or ':';
}
