using System.Globalization;
using System.Net;
using Grpc.Core;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// Calls of the services beside PeerService: of health, of reflection, and what commands ask. Each caller has its own places and its own
/// rate, and there is one for all; this machine's addresses, which may be those of any number of nodes, have a rate of their own. Who calls
/// more often is refused before anything is done for him. Thread-safe.
/// </summary>
internal sealed class ServiceCalls(RingSource rings, MeshMetrics metrics, TimeProvider time) : IDisposable
{
    /// <summary>Calls of one caller that may not have ended, or whose answers, if they are long, were not taken.</summary>
    public const int MaxOpen = 64;

    /// <summary>Calls of one caller in a second, and at once. Commands and probes make a few.</summary>
    public const int PerSecond = 10;
    public const int AtOnce = 50;

    /// <summary>The same of all, and of this machine.</summary>
    public const int PerSecondOfAll = 200;
    public const int AtOnceOfAll = 1000;

    private static readonly PathString Streams = new($"/{PeerService.Descriptor.FullName}");
    private static readonly string Exhausted = ((int)StatusCode.ResourceExhausted).ToString(CultureInfo.InvariantCulture);

    private readonly Lock _lock = new();
    private readonly ByteRate _all = new(PerSecondOfAll, AtOnceOfAll, time);
    private readonly Dictionary<IPAddress, Caller> _callers = [];

    /// <summary>Serves a request of the mesh listener, or refuses it.</summary>
    public async Task ServeAsync(HttpContext context, RequestDelegate next)
    {
        // The node itself asks whether it answers, whoever else asks.
        if (context.Request.Path.StartsWithSegments(Streams, StringComparison.Ordinal) || context.Features.Get<OwnConnections>() is not null)
        {
            await next(context);
            return;
        }

        if (TryEnter(context.Connection.RemoteIpAddress ?? IPAddress.None) is not { } place)
        {
            metrics.Refused(MeshRefusal.Call);
            context.Response.ContentType = "application/grpc";
            context.Response.Headers["grpc-status"] = Exhausted;
            context.Response.Headers["grpc-message"] = "too many calls";
            return;
        }

        using (place)
        {
            await next(context);
        }
    }

    /// <summary>Takes a place; null when there is none, or when calls come too fast. Dispose what is returned when the call has ended.</summary>
    public Place? TryEnter(IPAddress address)
    {
        var key = rings.CountedAs(address);
        var isThisMachine = IPAddress.IsLoopback(key);
        key = isThisMachine ? IPAddress.Loopback : key;
        lock (_lock)
        {
            if (!_callers.TryGetValue(key, out var caller))
            {
                ForgetIdle();
                _callers.Add(key, caller = new Caller(isThisMachine ? new ByteRate(PerSecondOfAll, AtOnceOfAll, time) : new ByteRate(PerSecond, AtOnce, time)));
            }

            if ((caller.Open >= MaxOpen && !isThisMachine) || !caller.Rate.TryTake(1) || (!isThisMachine && !_all.TryTake(1)))
            {
                return null;
            }

            caller.Open++;
            return new Place(this, caller);
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _all.Dispose();
            foreach (var caller in _callers.Values)
            {
                caller.Rate.Dispose();
            }

            _callers.Clear();
        }
    }

    private void ForgetIdle()
    {
        foreach (var (key, caller) in _callers)
        {
            if (caller.Open == 0 && caller.Rate.IsFull)
            {
                _callers.Remove(key);
                caller.Rate.Dispose();
            }
        }
    }

    private void Leave(Caller caller)
    {
        lock (_lock)
        {
            caller.Open--;
        }
    }

    /// <summary>The place of one call.</summary>
    internal sealed class Place(ServiceCalls calls, Caller caller) : IDisposable
    {
        private int _left;

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                calls.Leave(caller);
            }
        }
    }

    internal sealed class Caller(ByteRate rate)
    {
        public ByteRate Rate => rate;

        public int Open { get; set; }
    }
}
