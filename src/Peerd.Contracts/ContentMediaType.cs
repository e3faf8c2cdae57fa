using System.Text.RegularExpressions;

namespace Peerd.Contracts;

/// <summary>The media type that an origin told of a content, and that goes with it through the mesh. Anybody may have told it: it only describes.</summary>
public static partial class ContentMediaType
{
    /// <summary>
    /// What was told, when it says something and is safe in a header: <c>type/subtype</c> as RFC 6838 has it, which is 255 characters at
    /// most. Else null: of <c>application/octet-stream</c>, which says nothing, and of <c>multipart</c> types, which
    /// with a range would say that several follow.
    /// </summary>
    public static string? Of(string? told) =>
        string.IsNullOrEmpty(told)
        || told.Equals("application/octet-stream", StringComparison.OrdinalIgnoreCase)
        || told.StartsWith("multipart/", StringComparison.OrdinalIgnoreCase)
        || !Valid.IsMatch(told) ? null : told;

    [GeneratedRegex(@"\A[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 2000)]
    private static partial Regex Valid { get; }
}
