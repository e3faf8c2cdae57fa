using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using CsCheck;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

/// <summary>
/// Which URLs of clients may be read, and at which addresses, against an oracle that is written another way: URLs by one
/// regular expression, addresses by their bytes.
/// </summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed partial class UrlPolicyFuzzTests
{
    private const string Suffix = ".blob.example.net";

    private static readonly (string Scheme, string Host, int Port)[] Listed =
        [("https", "store.example", 443), ("http", "clear.example", 8080), ("https", "registry.test", 443)];

    private static readonly BlobHosts Hosts = BlobHosts.From(
        new BlobOptions { Hosts = ["https://store.example", "http://clear.example:8080", Suffix] },
        OriginSettings.From(new OriginOptions { Registries = [new OriginRegistryOptions { Name = "registry.test" }] }));

    private static readonly Gen<string> Host = Gen.OneOf(
        Gen.OneOf(
            "store.example", "STORE.Example", "clear.example", "registry.test", "a.blob.example.net", "a.b.BLOB.example.net", "blob.example.net", "xblob.example.net", ".blob.example.net",
            "store.example.evil", "x.store.example", "store.example.", "store.example..", "store%2eexample", "stοre.example", "store。example", "xn--stre-qqe.example", "store.example\t", " store.example",
            "127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[fe80::1%25eth0]", "localhost", "0", "", "a.blob.example.net.127.0.0.1"),
        Gen.Select(Gen.OneOf("", "a", "store", "-", "."), Gen.OneOf("", ".", "example", "blob.example.net", ".store.example"), (left, right) => left + right),
        Gen.Char['!', '~'].Array[1, 20].Select(text => new string(text)));

    private static readonly Gen<string> Url =
        from scheme in Gen.OneOf("https://", "https://", "https://", "http://", "HTTPS://", "hTTp://", "https:/", "https:", "//", "ftp://", "file://", "gopher://", "")
        from user in Gen.OneOf("", "", "", "", "a@", "store.example@", "a:b@", "store.example:443@", "%40")
        from host in Host
        from port in Gen.OneOf("", "", "", ":443", ":80", ":8080", ":0443", ":0", ":65536", ":99999999999", ":", ":-1", ":443@evil.example", ":x")
        from rest in Gen.OneOf("", "/", "/p", "/p?sig=S3cret1", "?q", "#@store.example", "/#x", "\\@store.example", "/\\evil", "//evil.example/", "/..//", "/%2f", "/p p", "@store.example/", "/p?u=@store.example")
        select scheme + user + host + port + rest;

    private static readonly Gen<byte[]> Address = Gen.OneOf(
        Gen.Byte.Array[4],
        Gen.Byte.Array[16],
        Gen.Select(Gen.OneOf("127.0.0.1", "169.254.169.254", "168.63.129.16", "100.100.100.200", "0.0.0.0", "224.0.0.1", "255.255.255.255", "10.1.2.3", "8.8.8.8", "126.255.255.255", "128.0.0.0"), Gen.Int[0, 6], (text, form) => Embed(IPAddress.Parse(text).GetAddressBytes(), form)),
        Gen.OneOf("::1", "::", "fe80::1", "febf:ffff::1", "fec0::1", "ff02::1", "fd00:ec2::254", "fd00:ec2::23", "fd00:ec3::254", "fd20:ce::254", "fd20:cf::1", "fd00:c1::a9fe:a9fe", "fd00:c1::a9fe:a9ff", "fd00:42::42", "fd00:42::43", "fd00:a9fe:a9fe::1", "fd00:a9fe:a9fe::2", "2001::1", "2001:1::1", "fe7f::1", "2606:4700::1111").Select(text => IPAddress.Parse(text).GetAddressBytes()));

    [Fact]
    public void Allows_AnyUrl_OnlyWhatTheOracleAllows() => Url.Sample(
        text =>
        {
            var isAllowed = OriginUrl.TryParse(text, out var url) && Hosts.Allows(url);
            var oracle = Find(text);

            Assert.Equal(oracle is not null, isAllowed);
            if (oracle is { } found)
            {
                // What is asked is what was checked.
                Assert.Equal(found, (url!.Scheme, url.IdnHost, url.Port));
            }
        },
        iter: 20_000,
        print: text => text);

    [Fact]
    public void IsForbidden_AnyAddress_IsWhatTheOracleForbids() => Address.Sample(
        bytes =>
        {
            var address = new IPAddress(bytes);

            Assert.Equal(IsForbidden(bytes), AddressPolicy.IsForbidden(address));
            if (address.AddressFamily == AddressFamily.InterNetworkV6)
            {
                Assert.Equal(IsForbidden(bytes), AddressPolicy.IsForbidden(new IPAddress(bytes, 3)));
            }
        },
        iter: 20_000,
        print: bytes => new IPAddress(bytes).ToString());

    [Fact]
    public void TryFollow_AnyTarget_OnlyWhatTheOracleFollows() => Gen.Select(Gen.OneOf("https://reg.test", "http://reg.test", "https://10.0.0.1:5000", "http://127.0.0.1:5000"), Gen.OneOf("https", "http"), Address, Gen.Int[0, 3]).Sample(
        (endpoint, scheme, bytes, form) =>
        {
            // A name, whose addresses are checked when they are known; or an address, which is checked now.
            var address = new IPAddress(bytes);
            var host = form == 0 ? "cdn.test" : address.AddressFamily == AddressFamily.InterNetworkV6 ? $"[{address}]" : $"{address}";
            Assert.True(RegistryEndpoint.TryCreate("reg.test", endpoint, out var registry));

            var isFollowed = RedirectPolicy.TryFollow(registry, new Uri($"{endpoint}/v2/a/blobs/b"), $"{scheme}://{host}/x?sig=S3cret", out var target, out var reason);

            // Who is on this machine leads to where this machine may go.
            var isHere = endpoint.Contains("127.0.0.1", StringComparison.Ordinal);
            var isClear = endpoint.StartsWith("http:", StringComparison.Ordinal);
            Assert.Equal((scheme == "https" || isClear) && (form == 0 || isHere || !IsForbidden(bytes)), isFollowed);
            Assert.Equal(isFollowed ? $"{scheme}://{host}" : null, target?.GetLeftPart(UriPartial.Authority));
            Assert.DoesNotContain("S3cret", reason ?? string.Empty, StringComparison.Ordinal);
        },
        iter: 20_000);

    [Fact]
    public void IsAllowed_AnyNetworks_IsWhatTheirBitsSay() => Gen.Select(Gen.Select(Address, Gen.Int[0, 128]).Array[0, 3], Address, Gen.Int[0, 3]).Sample(
        (networks, bytes, near) =>
        {
            if (networks.Length > 0 && near > 0)
            {
                // Within the first network, or just beside it.
                bytes = [.. networks[0].Item1];
                bytes[^1] ^= (byte)(near - 1);
            }

            var list = networks.Select(network => (Bytes: Masked(network.Item1, network.Item2), Length: Math.Min(network.Item2, network.Item1.Length * 8))).ToList();
            var hosts = BlobHosts.From(
                new BlobOptions { Hosts = ["https://store.example"], AllowedNetworks = [.. list.Select(network => $"{new IPAddress(network.Bytes)}/{network.Length}")] },
                OriginSettings.From(new OriginOptions()));

            // What is written as IPv6 and means an IPv4 address is in that one's networks.
            var plain = Convert.ToHexString(bytes).StartsWith("00000000000000000000FFFF", StringComparison.Ordinal) && bytes.Length == 16 ? bytes[12..] : bytes;
            var isWithin = list.Any(network => network.Bytes.Length == plain.Length && Masked(plain, network.Length).AsSpan().SequenceEqual(network.Bytes));
            Assert.Equal(isWithin || !IsForbidden(bytes), hosts.IsAllowed(new IPAddress(bytes)));
        },
        iter: 20_000);

    private static byte[] Masked(byte[] address, int length) =>
        [.. address.Select((value, i) => (byte)(value & ~(0xff >> Math.Clamp(length - (i * 8), 0, 8))))];

    // Scheme, host and port of a URL that may be read; null for all others.
    private static (string Scheme, string Host, int Port)? Find(string text)
    {
        var match = Form().Match(text);
        if (!match.Success)
        {
            return null;
        }

        var (scheme, host) = (match.Groups["scheme"].Value.ToLowerInvariant(), match.Groups["host"].Value.ToLowerInvariant());
        var port = match.Groups["port"] is { Length: > 0 } written ? int.Parse(written.ValueSpan, CultureInfo.InvariantCulture) : scheme == "https" ? 443 : 80;
        (string, string, int) found = (scheme, host, port);
        var isBelow = scheme == "https" && port == 443 && host.EndsWith(Suffix, StringComparison.Ordinal) && host.Length > Suffix.Length && !host.StartsWith('.');
        return Listed.Contains(found) || isBelow ? found : null;
    }

    private static bool IsForbidden(byte[] a)
    {
        if (a.Length == 4)
        {
            return a[0] is 0 or 127 or >= 224
                || (a[0], a[1]) is (169, 254)
                || (a[0], a[1], a[2], a[3]) is (100, 100, 100, 200) or (168, 63, 129, 16);
        }

        var isZero = (int to) => a.Take(to).All(b => b == 0);
        return isZero(15) && a[15] is 0 or 1
            || (a[0] == 0xfe && a[1] is >= 0x80 and <= 0xbf)
            || a[0] == 0xff
            || (a[0], a[1], a[2], a[3]) is (0xfd, 0, 0x0e, 0xc2) or (0xfd, 0x20, 0, 0xce) or (0x20, 0x01, 0, 0)
            || Convert.ToHexString(a) is "FD0000C10000000000000000A9FEA9FE" or "FD000042000000000000000000000042" or "FD00A9FEA9FE00000000000000000001"
            || (Embedded(a) is { } inner && IsForbidden(inner));
    }

    // The IPv4 address that a router or the kernel makes of an IPv6 one.
    private static byte[]? Embedded(byte[] a) => Convert.ToHexString(a) switch
    {
        var hex when hex.StartsWith("00000000000000000000FFFF", StringComparison.Ordinal) => a[12..],
        var hex when hex.StartsWith("000000000000000000000000", StringComparison.Ordinal) => a[12..],
        var hex when hex.StartsWith("0000000000000000FFFF0000", StringComparison.Ordinal) => a[12..],
        var hex when hex.StartsWith("0064FF9B0000000000000000", StringComparison.Ordinal) => a[12..],
        var hex when hex.StartsWith("0064FF9B0001", StringComparison.Ordinal) => a[12..],
        var hex when hex.StartsWith("2002", StringComparison.Ordinal) => a[2..6],
        _ => null,
    };

    private static byte[] Embed(byte[] four, int form) => form switch
    {
        0 => four,
        1 => [.. Convert.FromHexString("00000000000000000000FFFF"), .. four],
        2 => [.. new byte[12], .. four],
        3 => [.. Convert.FromHexString("0064FF9B0000000000000000"), .. four],
        4 => [.. Convert.FromHexString("0064FF9B0001000000000000"), .. four],
        5 => [.. Convert.FromHexString("0000000000000000FFFF0000"), .. four],
        _ => [0x20, 0x02, .. four, .. new byte[10]],
    };

    // Labels of letters, digits and hyphens, none of them empty.
    [GeneratedRegex(@"^(?<scheme>[hH][tT][tT][pP][sS]?)://(?<host>[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*)(:(?<port>[0-9]{0,5}))?([/?][!-\[\]-~]*|#[!-\[\]-~]*)?$", RegexOptions.ExplicitCapture | RegexOptions.CultureInvariant, 1000)]
    private static partial Regex Form();
}
