using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.Node.Limits;

/// <summary>
/// How many connections one listener may have, and how many of one address and of one /64 network of IPv6, in which one host has as many
/// addresses as it likes. Loopback addresses are of one machine with any number of processes, and count only in the total. Thread-safe.
/// </summary>
/// <param name="total">Connections in all.</param>
/// <param name="perAddress">Connections of one address.</param>
/// <param name="perNetwork">Connections of one network.</param>
/// <param name="countedAs">The network that an address counts in, or the address itself, which counts in none.</param>
internal sealed class ConnectionCap(int total, int perAddress, int perNetwork, Func<IPAddress, IPAddress> countedAs)
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

    /// <summary>Takes a place; null when there is none. <see cref="Leave"/> with it when the connection has ended.</summary>
    public Place? TryEnter(IPAddress address)
    {
        address = CallerAddress.Plain(address);
        var place = new Place(address, countedAs(address) is var network && network.Equals(address) ? null : network);
        lock (_lock)
        {
            if (_open >= total || (!IPAddress.IsLoopback(address) && IsFull(place)))
            {
                return null;
            }

            Add(place, 1);
            return place;
        }
    }

    /// <summary>Gives back a place that was taken.</summary>
    public void Leave(Place place)
    {
        lock (_lock)
        {
            Add(place, -1);
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
        if (TryEnter(address) is not { } place)
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
            Leave(place);
        }
    });

    private bool IsFull(Place place) =>
        _byAddress.GetValueOrDefault(place.Address) >= perAddress || (place.Network is { } network && _byNetwork.GetValueOrDefault(network) >= perNetwork);

    private void Add(Place place, int change)
    {
        _open += change;
        Add(_byAddress, place.Address, change);
        if (place.Network is { } network)
        {
            Add(_byNetwork, network, change);
        }
    }

    private static void Add(Dictionary<IPAddress, int> counts, IPAddress key, int change)
    {
        if ((counts[key] = counts.GetValueOrDefault(key) + change) == 0)
        {
            counts.Remove(key);
        }
    }

    /// <summary>What one connection counts as. Who is a member may have changed when it ends.</summary>
    internal sealed record Place(IPAddress Address, IPAddress? Network);
}
