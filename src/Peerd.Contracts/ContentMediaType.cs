using System.Buffers;

namespace Peerd.Contracts;

/// <summary>The media type that an origin told of a content, and that goes with it through the mesh. Anybody may have told it: it only describes.</summary>
public static class ContentMediaType
{
    private const int MaxName = 127;

    /// <summary>Characters of a media type at most; what is longer counts as unknown.</summary>
    public const int MaxLength = MaxName + 1 + MaxName;

    private const string Alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

    private static readonly SearchValues<char> First = SearchValues.Create(Alphanumeric);

    private static readonly SearchValues<char> Further = SearchValues.Create(Alphanumeric + "!#$&^_.+-");

    /// <summary>
    /// What was told, when it says something and is safe in a header: <c>type/subtype</c> as RFC 6838 has it. Else null:
    /// of <c>application/octet-stream</c>, which says nothing, and of <c>multipart</c> types, which with a range would say that several
    /// follow.
    /// </summary>
    public static string? Of(string? told) =>
        told is not { Length: > 0 and <= MaxLength }
        || told.Equals("application/octet-stream", StringComparison.OrdinalIgnoreCase)
        || told.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase)
        || !IsTwoNames(told) ? null : told;

    private static bool IsTwoNames(ReadOnlySpan<char> told)
    {
        var slash = told.IndexOf('/');
        return slash > 0 && IsName(told[..slash]) && IsName(told[(slash + 1)..]);
    }

    // restricted-name, RFC 6838 section 4.2.
    private static bool IsName(ReadOnlySpan<char> name) =>
        name.Length is > 0 and <= MaxName && First.Contains(name[0]) && !name.ContainsAnyExcept(Further);
}
