using System.Globalization;
using System.Text;

namespace Peerd.EndToEnd.Harness;

/// <summary>Status line and headers of an answer as they came over the wire.</summary>
internal sealed record WireHead(int Status, ILookup<string, string> Headers)
{
    private const string Version = "HTTP/1.1 ";
    private const int StatusLength = 3;

    /// <summary>Length of the body; null when there is no such header.</summary>
    public long? ContentLength => Find("Content-Length") is not { } text ? null
        : long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var length) ? length
        : throw new BrokenAnswerException($"'{text}' is no Content-Length");

    /// <summary>The body comes in chunks.</summary>
    public bool IsChunked => Find("Transfer-Encoding") is { } coding
        && (coding.Equals("chunked", StringComparison.OrdinalIgnoreCase) ? true : throw new BrokenAnswerException($"unknown Transfer-Encoding '{coding}'"));

    /// <summary>The server ends the connection after this answer.</summary>
    public bool Closes => string.Equals(Find("Connection"), "close", StringComparison.OrdinalIgnoreCase);

    /// <summary>Reads all up to the empty line.</summary>
    public static WireHead Parse(ReadOnlySpan<byte> bytes)
    {
        var lines = Encoding.Latin1.GetString(bytes).Split("\r\n");
        if (!lines[0].StartsWith(Version, StringComparison.Ordinal)
            || lines[0].Length < Version.Length + StatusLength
            || !int.TryParse(lines[0].AsSpan(Version.Length, StatusLength), NumberStyles.None, CultureInfo.InvariantCulture, out var status))
        {
            throw new BrokenAnswerException($"'{lines[0]}' is no status line");
        }

        var headers = lines.Skip(1)
            .Select(line => line.Split(':', 2) is [var name, var value] ? (Name: name, Value: value.Trim()) : throw new BrokenAnswerException($"'{line}' is no header"))
            .ToLookup(header => header.Name, header => header.Value, StringComparer.OrdinalIgnoreCase);
        return new WireHead(status, headers);
    }

    /// <summary>The value of a header that may be there once.</summary>
    public string? Find(string name) => Headers[name].ToArray() switch
    {
        [] => null,
        [var value] => value,
        var values => throw new BrokenAnswerException($"{name} is there {values.Length} times"),
    };
}
