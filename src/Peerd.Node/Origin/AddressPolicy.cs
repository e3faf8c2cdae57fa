using System.Net;
using System.Net.Sockets;

namespace Peerd.Node.Origin;

/// <summary>Which addresses a registry must not lead us to: this machine itself, its link, everybody, and the clouds' metadata services.</summary>
internal static class AddressPolicy
{
    private static readonly IPNetwork[] Forbidden =
    [
        IPNetwork.Parse("0.0.0.0/8"),
        IPNetwork.Parse("127.0.0.0/8"),
        IPNetwork.Parse("169.254.0.0/16"),
        IPNetwork.Parse("224.0.0.0/4"),
        IPNetwork.Parse("240.0.0.0/4"),
        IPNetwork.Parse("100.100.100.200/32"),
        IPNetwork.Parse("168.63.129.16/32"),
        IPNetwork.Parse("::/128"),
        IPNetwork.Parse("::1/128"),
        IPNetwork.Parse("fe80::/10"),
        IPNetwork.Parse("ff00::/8"),
        IPNetwork.Parse("fd00:ec2::/32"),
        IPNetwork.Parse("fd20:ce::/32"),
        IPNetwork.Parse("fd00:c1::a9fe:a9fe/128"),
        IPNetwork.Parse("fd00:42::42/128"),
        IPNetwork.Parse("fd00:a9fe:a9fe::1/128"),

        // Teredo: what is within is the address of somebody's IPv4 host, in disguise.
        IPNetwork.Parse("2001::/32"),
    ];

    // IPv6 networks whose addresses have an IPv4 address within, and at which byte: a translator or a relay sends there what is sent to them.
    private static readonly (IPNetwork Network, int At)[] Embedding =
    [
        (IPNetwork.Parse("::/96"), 12),
        (IPNetwork.Parse("::ffff:0:0:0/96"), 12),
        (IPNetwork.Parse("64:ff9b::/96"), 12),
        (IPNetwork.Parse("64:ff9b:1::/48"), 12),
        (IPNetwork.Parse("2002::/16"), 2),
    ];

    public static bool IsForbidden(IPAddress address)
    {
        if (address.IsIPv4MappedToIPv6)
        {
            address = address.MapToIPv4();
        }

        // A scope (fe80::1%eth0) is no part of what the networks compare.
        if (address is { AddressFamily: AddressFamily.InterNetworkV6, ScopeId: not 0 })
        {
            address = new IPAddress(address.GetAddressBytes());
        }

        return IsListed(address)
            || Array.Exists(Embedding, embedding => embedding.Network.Contains(address) && IsListed(new IPAddress(address.GetAddressBytes().AsSpan(embedding.At, 4))));
    }

    private static bool IsListed(IPAddress address) => Array.Exists(Forbidden, network => network.Contains(address));
}
