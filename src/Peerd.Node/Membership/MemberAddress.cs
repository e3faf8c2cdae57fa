using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Membership;

/// <summary>The text form of a member's address: <c>10.0.0.1:30001</c>, <c>[fd00::1]:30001</c> or <c>node-1.example:30001</c>.</summary>
internal static class MemberAddress
{
    /// <summary>What <see cref="TryParse"/> accepts, for error texts.</summary>
    public const string Allowed = "host:port with an IPv4 address, an IPv6 address in brackets or a DNS name, and a port from 1 to 65535";

    /// <summary>Reads an address. Addresses that nobody can connect to, such as 0.0.0.0, are refused.</summary>
    public static bool TryParse(string? text, [NotNullWhen(true)] out DnsEndPoint? address)
    {
        address = null;
        var colon = text?.LastIndexOf(':') ?? -1;
        if (text is null || colon <= 0
            || !ushort.TryParse(text.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) || port == 0
            || !TryParseHost(text[..colon], out var host))
        {
            return false;
        }

        address = new DnsEndPoint(host, port);
        return true;
    }

    /// <summary>The address as it is written, also within a URL.</summary>
    public static string Format(DnsEndPoint address) =>
        address.Host.Contains(':', StringComparison.Ordinal) ? $"[{address.Host}]:{address.Port}" : $"{address.Host}:{address.Port}";

    private static bool TryParseHost(string text, out string host)
    {
        host = text;
        if (text.StartsWith('[') && text.EndsWith(']'))
        {
            host = text[1..^1];
            return IPAddress.TryParse(host, out var v6) && v6.AddressFamily == AddressFamily.InterNetworkV6 && !v6.Equals(IPAddress.IPv6Any);
        }

        // What ends in a number is meant as an IPv4 address; short and octal forms are not taken.
        if (char.IsAsciiDigit(text[^1]) && text[(text.LastIndexOf('.') + 1)..].All(char.IsAsciiDigit))
        {
            return IPAddress.TryParse(text, out var v4) && v4.ToString() == text && !v4.Equals(IPAddress.Any);
        }

        return Uri.CheckHostName(text) == UriHostNameType.Dns;
    }
}
