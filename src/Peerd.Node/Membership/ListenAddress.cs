using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Membership;

/// <summary>The text form of where a server listens: <c>127.0.0.1:30000</c> or <c>[::1]:30000</c>; the port is always written, 0 is any free one.</summary>
internal static class ListenAddress
{
    /// <summary>What <see cref="TryParse"/> accepts, for error texts.</summary>
    public const string Allowed = "an IP address and a port, such as 127.0.0.1:30000 or [::1]:30000";

    /// <summary>Reads an address.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out IPEndPoint? endPoint)
    {
        endPoint = null;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (text is null || colon <= 0
            || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port)
            || !TryParseAddress(text[..colon], out var address))
        {
            return false;
        }

        endPoint = new IPEndPoint(address, port);
        return true;
    }

    /// <summary>Reads an address that was validated before.</summary>
    /// <exception cref="FormatException">The text is none.</exception>
    public static IPEndPoint Parse(string text) =>
        TryParse(text, out var endPoint) ? endPoint : throw new FormatException($"'{text}' is not {Allowed}");

    /// <summary>Where programs of the same machine find who listens there: whoever listens everywhere is on loopback, too.</summary>
    public static IPEndPoint FromThisMachine(IPEndPoint listening) => new(
        listening.Address.Equals(IPAddress.Any) || listening.Address.Equals(IPAddress.IPv6Any) ? IPAddress.Loopback : listening.Address, listening.Port);

    private static bool TryParseAddress(string text, [NotNullWhen(true)] out IPAddress? address) =>
        text is ['[', .. var inner, ']']
            ? IPAddress.TryParse(inner, out address) && address.AddressFamily == AddressFamily.InterNetworkV6

            // Short and octal forms mean something else to everybody: not taken.
            : IPAddress.TryParse(text, out address) && address.AddressFamily == AddressFamily.InterNetwork && address.ToString() == text;
}
