using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>
/// The value of <c>p2pConfig.address</c>, in the parts that overlaybd takes it apart into. It may be any text; only what
/// has no <see cref="Fault"/> leads to a facade.
/// </summary>
/// <param name="Text">The whole.</param>
/// <param name="Scheme">What stands before <c>://</c>; empty when nothing does.</param>
/// <param name="Host">The host as written.</param>
/// <param name="Port">The port, 80 when none is written, 0 when it is none.</param>
/// <param name="Path">The rest, from the first slash on.</param>
internal sealed record OverlaybdAddress(string Text, string Scheme, string Host, int Port, string Path)
{
    /// <summary>Where a node with default settings serves overlaybd.</summary>
    public const string Default = "http://localhost:30000/blobs";

    /// <summary>The facade's path for overlaybd.</summary>
    public const string FacadePath = "/blobs";

    private const int LongestShown = 200;

    /// <summary>Takes a text apart.</summary>
    public static OverlaybdAddress Of(string text)
    {
        var scheme = text.IndexOf("://", StringComparison.Ordinal);
        var rest = scheme < 0 ? text : text[(scheme + 3)..];
        var end = rest.IndexOfAny(['/', '?', '#']);
        var authority = end < 0 ? rest : rest[..end];
        var colon = authority.LastIndexOf(':');
        var hasPort = colon >= 0 && !authority.EndsWith(']');
        return new OverlaybdAddress(
            text,
            scheme < 0 ? string.Empty : text[..scheme],
            hasPort ? authority[..colon] : authority,
            !hasPort ? 80 : ushort.TryParse(authority.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture, out var port) ? port : 0,
            end < 0 ? string.Empty : rest[end..]);
    }

    /// <summary>Where overlaybd tries, each time a device is created, whether a server is there: anything but an IPv4 address means this machine.</summary>
    public IPEndPoint Tried => new(IPv4Host ?? IPAddress.Loopback, Port);

    /// <summary>Why overlaybd does not reach a facade with it, in a few words, or null.</summary>
    public string? Fault => this switch
    {
        { Scheme: "" } => "it does not begin with http://, and without that overlaybd reads straight from the registry's hosts without a word",
        { Scheme: not "http" } => "it does not begin with http://, the only thing that the facade speaks",
        _ when Text.Any(c => c is <= ' ' or >= '\x7f' or '"' or '\\' or '@') => "it has a character that no address of a facade has",
        _ when Text.AsSpan().ContainsAny('?', '#') => "it has a query or a fragment, but overlaybd appends the URL of the blob to it",
        { Host: not "localhost" } when IPv4Host?.GetAddressBytes()[0] != 127 => "its host is neither localhost nor 127.x.x.x, but overlaybd uses IPv4 only and takes every name for this machine when it looks whether a server is there",
        { Port: 0 } => "its port is not one",
        { Path: not FacadePath } => $"its path is not {FacadePath}, where the facade serves overlaybd",
        _ => null,
    };

    /// <summary>An address as it may be shown: without what may be secret in it, on one line.</summary>
    public static string Shown(string address)
    {
        if (address.Contains('@', StringComparison.Ordinal))
        {
            return "(hidden: contains '@')";
        }

        var query = address.IndexOf('?', StringComparison.Ordinal);
        var text = query < 0 ? address : address[..query] + "?…";
        text = text.Length > LongestShown ? text[..LongestShown] + "…" : text;
        return string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
    }

    // Short and octal forms are not what they seem.
    private IPAddress? IPv4Host =>
        IPAddress.TryParse(Host, out var address) && address.AddressFamily == AddressFamily.InterNetwork && address.ToString() == Host ? address : null;
}
