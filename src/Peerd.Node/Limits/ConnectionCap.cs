using System.Net;
using System.Net.Sockets;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.Node.Limits;

/// <summary>
/// How many connections one listener may have, and how many of one address. Of IPv6 one host may have all addresses of a /64 network, and
/// all nodes may have theirs in one, too: to such a network go half of all, or as many as to one address if that is more. Loopback addresses are of one machine with any
/// number of processes, and count only in the total. Thread-safe.
/// </summary>
/// <param name="total">Connections in all.</param>
/// <param name="perAddress">Connections of one address.</param>
internal sealed class ConnectionCap(int total, int perAddress = int.MaxValue)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, int> _byAddress = [];
    private readonly Dictionary<IPAddress, int> _byNetwork = [];
    private int _open;

    /// <summary>Connections that are open.</summary>
    public int Open
    {
        get
        {
            lock (_lock)
            {
                return _open;
            }
        }
    }

    /// <summary>Takes a place; false when there is none. <see cref="Leave"/> when the connection has ended.</summary>
    public bool TryEnter(IPAddress address)
    {
        address = CallerAddress.Plain(address);
        lock (_lock)
        {
            if (_open >= total || (!IPAddress.IsLoopback(address) && (_byAddress.GetValueOrDefault(address) >= perAddress || IsFull(address))))
            {
                return false;
            }

            Add(address, 1);
            return true;
        }
    }

    /// <summary>Gives back a place that was taken for this address.</summary>
    public void Leave(IPAddress address)
    {
        address = CallerAddress.Plain(address);
        lock (_lock)
        {
            Add(address, -1);
        }
    }

    /// <summary>Holds a listener to it: connections that are too many are closed before a byte of them is read.</summary>
    /// <param name="listener">The listener.</param>
    /// <param name="refused">Called for each of them.</param>
    /// <param name="own">Connections of the node itself, which need no place and have this as a feature; none: it makes none there.</param>
    public void Apply(ListenOptions listener, Action refused, OwnConnections? own = null) => listener.Use(next => async connection =>
    {
        if (own?.TryTake(connection.RemoteEndPoint, connection.LocalEndPoint) == true)
        {
            connection.Features.Set(own);
            await next(connection);
            return;
        }

        var address = (connection.RemoteEndPoint as IPEndPoint)?.Address ?? IPAddress.None;
        if (!TryEnter(address))
        {
            refused();
            connection.Abort();
            return;
        }

        try
        {
            await next(connection);
        }
        finally
        {
            Leave(address);
        }
    });

    /// <summary>The network of an IPv6 address has as many as it may; an IPv4 address has none that is one host's.</summary>
    private bool IsFull(IPAddress address) =>
        HasNetwork(address) && _byNetwork.GetValueOrDefault(CallerAddress.Network(address)) >= Math.Max(perAddress, total / 2);

    private static bool HasNetwork(IPAddress address) => address.AddressFamily == AddressFamily.InterNetworkV6;

    private void Add(IPAddress address, int change)
    {
        Add(_byAddress, address, change);
        if (HasNetwork(address))
        {
            Add(_byNetwork, CallerAddress.Network(address), change);
        }

        _open += change;
    }

    private static void Add(Dictionary<IPAddress, int> counts, IPAddress key, int change)
    {
        if ((counts[key] = counts.GetValueOrDefault(key) + change) == 0)
        {
            counts.Remove(key);
        }
    }
}
