using System.Net;
using Grpc.Core;
using Peerd.Node.Limits;
using Peerd.Node.Ring;

namespace Peerd.Node.Mesh;

/// <summary>
/// How many Lookup and Announce streams callers have open, and what they make this node do by opening them and by what they send on
/// them: each member has its own places and its own rate, and names that are no members share those of one, so that nobody gets more by
/// thinking of names, or by opening more streams. A member's name that is not proven and that calls from elsewhere than the member's own
/// address counts there by itself, and takes nothing of what the member has: nodes may be behind one address. Thread-safe.
/// </summary>
internal sealed class CallerStreams(RingSource rings, MeshMetrics metrics, TimeProvider time)
{
    /// <summary>Lookup streams of one member: contents that it fetches at one time.</summary>
    public const int MaxLookups = 1024;

    /// <summary>Announce streams of one member: one, those that ended and do not know it yet, and another process of the node.</summary>
    public const int MaxAnnounces = 16;

    /// <summary>
    /// Contents that one caller may announce in a second, and at once. A node that has more, as at its start, is read from more slowly
    /// and loses nothing.
    /// </summary>
    public const int ContentsPerSecond = 20_000;
    public const int ContentsAtOnce = 100_000;

    /// <summary>The same of messages of lookups: a download reports every 5 ms at most.</summary>
    public const int MessagesPerSecond = 20_000;
    public const int MessagesAtOnce = 100_000;

    /// <summary>
    /// Opening a stream counts as so many messages or contents: 500 in a second, and 2500 at once. A node that starts 100 images of 20
    /// layers opens 2000 if all are owned by one member.
    /// </summary>
    public const int Opening = 40;

    /// <summary>
    /// Bytes of messages that wait until their caller may have them done: of one caller, and of all. Who sends more is refused. Those of a
    /// message that is smaller than <see cref="SmallMessage"/> are not counted.
    /// </summary>
    public const long MaxWaitingBytes = 16L * 1024 * 1024;
    public const long MaxWaitingBytesOfAll = 64L * 1024 * 1024;
    public const long SmallMessage = 8 * 1024;

    private readonly Lock _lock = new();
    private readonly Dictionary<(string Node, IPAddress? From, bool IsLookup), Caller> _callers = [];
    private long _waitingBytes;

    /// <summary>Streams that are open, of all callers.</summary>
    public int Open
    {
        get
        {
            lock (_lock)
            {
                return _callers.Values.Sum(caller => caller.Open);
            }
        }
    }

    /// <summary>Takes a place. Dispose what is returned when the stream has ended.</summary>
    /// <param name="node">Who the caller is, or says that he is.</param>
    /// <param name="isLookup">A stream that looks up; else one that announces.</param>
    /// <param name="from">Where he calls from, if his name is not proven; null when it is.</param>
    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: there is none.</exception>
    public Place Enter(string node, bool isLookup, IPAddress? from = null)
    {
        // The empty name without an address stands for all that are no members.
        (string Node, IPAddress? From, bool IsLookup) key =
            !rings.Knows(node) ? (string.Empty, null, isLookup)
            : from is null || IPAddress.IsLoopback(CallerAddress.Plain(from)) || rings.IsAt(node, from) ? (node, null, isLookup)
            : (node, CallerAddress.Network(from), isLookup);
        lock (_lock)
        {
            if (!_callers.TryGetValue(key, out var caller))
            {
                ForgetIdle();
                var rate = isLookup ? new ByteRate(MessagesPerSecond, MessagesAtOnce, time) : new ByteRate(ContentsPerSecond, ContentsAtOnce, time);
                _callers.Add(key, caller = new Caller(rate));
            }

            if (caller.Open < (isLookup ? MaxLookups : MaxAnnounces))
            {
                caller.Open++;
                return new Place(this, caller);
            }
        }

        metrics.Refused(MeshRefusal.Stream);
        var whose = key.Node.Length == 0 ? "callers that are no members" : key.From is { } address ? $"node '{node}' at {address}" : $"node '{node}'";
        throw new RpcException(new Status(StatusCode.ResourceExhausted, $"too many {(isLookup ? "Lookup" : "Announce")} streams of {whose} are open"));
    }

    /// <summary>
    /// For whom what a caller takes counts: his address, or of IPv6 the /64 network, in which one host has as many addresses as it
    /// likes. Nodes may have theirs in one network, so a member that calls from its own address counts by itself.
    /// </summary>
    public IPAddress CountedAs(string? node, IPAddress address) =>
        node is not null && rings.IsAt(node, address) ? CallerAddress.Plain(address) : CallerAddress.Network(address);

    // Who has ended all of its streams keeps what it has used up, or it would begin anew with each stream.
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

    private async Task TakeAsync(Caller caller, int count, long bytes, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (caller.WaitingBytes + bytes > MaxWaitingBytes || _waitingBytes + bytes > MaxWaitingBytesOfAll)
            {
                metrics.Refused(MeshRefusal.Stream);
                throw new RpcException(new Status(StatusCode.ResourceExhausted, "too many messages wait until their callers may send so much"));
            }

            caller.WaitingBytes += bytes;
            _waitingBytes += bytes;
        }

        try
        {
            await caller.TakeAsync(count, cancellationToken);
        }
        finally
        {
            lock (_lock)
            {
                caller.WaitingBytes -= bytes;
                _waitingBytes -= bytes;
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

    /// <summary>The place of one stream.</summary>
    internal sealed class Place(CallerStreams streams, Caller caller) : IDisposable
    {
        private int _left;

        /// <summary>Completes when the caller may have so much done: until then the next message stays where it is, and the flow control of the connection holds the caller back.</summary>
        /// <param name="count">How much that is.</param>
        /// <param name="bytes">Bytes of memory that the message takes meanwhile, roughly.</param>
        /// <param name="cancellationToken">The stream has ended.</param>
        /// <exception cref="RpcException">RESOURCE_EXHAUSTED: too much waits already.</exception>
        public Task TakeAsync(int count, long bytes, CancellationToken cancellationToken) =>
            bytes < SmallMessage ? caller.TakeAsync(count, cancellationToken)
            : caller.Rate.TryTake(count) ? Task.CompletedTask
            : streams.TakeAsync(caller, count, bytes, cancellationToken);

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _left, 1) == 0)
            {
                streams.Leave(caller);
            }
        }
    }

    internal sealed class Caller(ByteRate rate)
    {
        public ByteRate Rate => rate;

        public int Open { get; set; }

        public long WaitingBytes { get; set; }

        public Task TakeAsync(int count, CancellationToken cancellationToken) => rate.TakeAsync(count, Urgency.Pull, default, cancellationToken);
    }
}
