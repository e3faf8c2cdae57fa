using System.Collections.Frozen;
using System.Net;
using Peerd.Node.Limits;
using Peerd.Node.Membership;

namespace Peerd.Node.Ring;

/// <summary>
/// The ring of the moment, rebuilt whenever the membership source tells a new list. One writer, any number of readers.
/// </summary>
internal sealed partial class RingSource(IMembershipSource membership, TimeProvider time, ILogger<RingSource> logger) : BackgroundService
{
    private readonly Latest<HashRing> _rings = new(HashRing.Empty);
    private volatile FrozenSet<IPAddress>? _addresses;
    private long _changedAt;

    /// <summary>The newest ring; <see cref="HashRing.Empty"/> before the first list.</summary>
    public HashRing Current => _rings.Current;

    /// <summary>The newest ring, then each one that replaces it, until cancelled; slow readers miss rings in between, never the last.</summary>
    public IAsyncEnumerable<HashRing> WatchAsync(CancellationToken cancellationToken) => _rings.WatchAsync(cancellationToken);

    /// <summary>Whether the name is a member's. Before the first list it may be.</summary>
    public bool Knows(string node) => Current is var ring && (ring.Count == 0 || ring.IndexOf(node) >= 0);

    /// <summary>Whether the member with this name has this address; false when only a DNS name of it is known.</summary>
    public bool IsAt(string node, IPAddress address)
    {
        var ring = Current;
        return ring.IndexOf(node) is >= 0 and var index && IPAddress.TryParse(ring[index].Address.Host, out var own) && CallerAddress.Plain(own).Equals(CallerAddress.Plain(address));
    }

    /// <summary>
    /// For whom what a caller takes counts who has not said who he is: an address of a member by itself, else the address, or of IPv6 the
    /// /64 network, in which one host has as many addresses as it likes. Before the first list each may be a member's.
    /// </summary>
    public IPAddress CountedAs(IPAddress address) =>
        CallerAddress.Plain(address) is var plain && _addresses is var members && (members is null || members.Contains(plain)) ? plain : CallerAddress.Network(plain);

    /// <summary>Whether members have come or gone, the first list counted, within this time.</summary>
    public bool HasChangedWithin(TimeSpan age) => time.GetElapsedTime(Interlocked.Read(ref _changedAt)) < age;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await foreach (var members in membership.WatchAsync(stoppingToken))
        {
            var ring = new HashRing(members);
            if (ring.Version != Current.Version)
            {
                Interlocked.Exchange(ref _changedAt, time.GetTimestamp());
            }

            _addresses = AddressesOf(members).ToFrozenSet();
            _rings.Publish(ring);
            Log.RingChanged(logger, ring.Version, ring.Count);
        }
    }

    private static IEnumerable<IPAddress> AddressesOf(MemberList members)
    {
        foreach (var member in members.Members)
        {
            if (IPAddress.TryParse(member.Address.Host, out var address))
            {
                yield return CallerAddress.Plain(address);
            }
        }
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "The ring is now {Version} with {Count} members")]
        public static partial void RingChanged(ILogger logger, string version, int count);
    }
}
