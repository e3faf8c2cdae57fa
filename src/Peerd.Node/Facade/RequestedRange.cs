using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;
using Peerd.Contracts;

namespace Peerd.Node.Facade;

/// <summary>
/// The one range of bytes that a client asks for, before the size of the content is known. What is not exactly one
/// well-formed range of bytes counts as not asked for, as RFC 9110 allows: the client gets the whole.
/// </summary>
internal readonly record struct RequestedRange
{
    // Two numbers of 19 digits fit well; a longer header is a list, which we do not serve, or an attack on the parser.
    private const int MaxHeaderLength = 128;

    private readonly long? _first;
    private readonly long? _last;

    private RequestedRange(long? first, long? last)
    {
        _first = first;
        _last = last;
    }

    /// <summary>The last bytes are asked for, however many there are before them.</summary>
    public bool IsSuffix => _first is null;

    /// <summary>Reads a Range header; null when there is none to follow.</summary>
    public static RequestedRange? Parse(StringValues header)
    {
        if (header.Count != 1
            || header[0] is not { Length: > 0 and <= MaxHeaderLength } text
            || !RangeHeaderValue.TryParse(text, out var parsed)
            || !parsed.Unit.Equals("bytes", StringComparison.OrdinalIgnoreCase)
            || parsed.Ranges.Count != 1)
        {
            return null;
        }

        var range = parsed.Ranges.First();
        return new RequestedRange(range.From, range.To);
    }

    /// <summary>The bytes that this means in a content of that size; null when there are none (416).</summary>
    public ByteRange? Resolve(long size)
    {
        if (size == 0)
        {
            // Some clients send bytes=0- with every request. An empty content is all there is, and no error.
            return default(ByteRange);
        }

        if (_first is not { } first)
        {
            return _last is > 0 and { } suffix ? ByteRange.FromBounds(Math.Max(0, size - suffix), size) : null;
        }

        return first < size ? ByteRange.FromBounds(first, _last < size - 1 ? _last.Value + 1 : size) : null;
    }
}
