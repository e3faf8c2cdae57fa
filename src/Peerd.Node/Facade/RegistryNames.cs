using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace Peerd.Node.Facade;

/// <summary>The grammars of names that clients send. What they let through is safe in a path, a header and a log.</summary>
internal static partial class RegistryNames
{
    private const int MaxLength = 255;

    /// <summary>Repository name of the OCI distribution specification, for example <c>library/alpine</c>.</summary>
    public static bool IsRepository(string text) => text.Length is > 0 and <= MaxLength && Repository.IsMatch(text);

    /// <summary>Tag of the OCI distribution specification, for example <c>v1.2</c>.</summary>
    public static bool IsTag(string text) => Tag.IsMatch(text);

    /// <summary>
    /// Reads a registry's host and optional port as a client names it in <c>ns</c>: DNS name, IPv4 or bracketed IPv6
    /// address. Letters become lower case, as host names know no case.
    /// </summary>
    public static bool TryParseRegistry(string? text, out string registry)
    {
        registry = string.Empty;

        // Checked before the change of case, which turns some letters outside ASCII into letters inside it.
        if (text is null || text.Length is 0 or > MaxLength || !Ascii.IsValid(text))
        {
            return false;
        }

        var lower = text.ToLowerInvariant();
        var match = Registry.Match(lower);
        if (!match.Success
            || (match.Groups["six"] is { Success: true } six && !IsAddressOfSix(six.Value))
            || (match.Groups["port"] is { Success: true } port && !IsPort(port.Value)))
        {
            return false;
        }

        registry = lower;
        return true;
    }

    private static bool IsAddressOfSix(string text) =>
        IPAddress.TryParse(text, out var address) && address.AddressFamily == AddressFamily.InterNetworkV6;

    private static bool IsPort(string digits) =>
        ushort.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && port != 0 && digits[0] != '0';

    [GeneratedRegex(@"\A[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 2000)]
    private static partial Regex Repository { get; }

    [GeneratedRegex(@"\A[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 2000)]
    private static partial Regex Tag { get; }

    [GeneratedRegex(@"\A(\[(?<six>[0-9a-f:.]{2,45})\]|[a-z0-9]+(-+[a-z0-9]+)*(\.[a-z0-9]+(-+[a-z0-9]+)*)*)(:(?<port>[0-9]{1,5}))?\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 2000)]
    private static partial Regex Registry { get; }
}
