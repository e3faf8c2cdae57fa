using System.Net;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Peerd.Node.Limits;

/// <summary>
/// How many connections one listener may have, and how many of one address. Loopback addresses are of one machine with any number
/// of processes, and count only in the total. Thread-safe.
/// </summary>
/// <param name="total">Connections in all.</param>
/// <param name="perAddress">Connections of one address.</param>
internal sealed class ConnectionCap(int total, int perAddress = int.MaxValue)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<IPAddress, int> _byAddress = [];
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
            var ofAddress = _byAddress.GetValueOrDefault(address);
            if (_open >= total || (ofAddress >= perAddress && !IPAddress.IsLoopback(address)))
            {
                return false;
            }

            _open++;
            _byAddress[address] = ofAddress + 1;
            return true;
        }
    }

    /// <summary>Gives back a place that was taken for this address.</summary>
    public void Leave(IPAddress address)
    {
        address = CallerAddress.Plain(address);
        lock (_lock)
        {
            _open--;
            if (--_byAddress[address] == 0)
            {
                _byAddress.Remove(address);
            }
        }
    }

    /// <summary>Holds a listener to it: connections that are too many are closed before a byte of them is read.</summary>
    /// <param name="listener">The listener.</param>
    /// <param name="refused">Called for each of them.</param>
    public void Apply(ListenOptions listener, Action refused) => listener.Use(next => async connection =>
    {
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
}
