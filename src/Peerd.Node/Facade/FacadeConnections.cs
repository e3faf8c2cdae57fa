using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Peerd.Node.Limits;

namespace Peerd.Node.Facade;

/// <summary>
/// The connections of local clients: so many at one time. Who comes when there are as many waits for a place, for a short while: a
/// connection that has no request under way is closed for him, the one that has had none for longest, and while all have one, the next of
/// which the request ends. Closed at once, as others are here, a client of containers would make an I/O error of what works a
/// moment later. One that does not close soon is not relied on: another is closed, too, and it is cut if it has never asked for anything,
/// for then all that it has sent is a part of its first request. Who waits for too long, or is one too many of those who wait, is closed without an answer: clients that take nothing must not
/// have all others wait for ever, and to containerd that is the same as a mirror that is down. Thread-safe.
/// </summary>
/// <param name="most">Connections in all.</param>
/// <param name="time">The clock.</param>
internal sealed class FacadeConnections(int most, TimeProvider time)
{
    /// <summary>How long a place is waited for. overlaybd gives up a read after 30 s, four tries together.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>A client that has connected sends its first request by so long after.</summary>
    public static readonly TimeSpan FirstRequest = TimeSpan.FromSeconds(1);

    /// <summary>How often who waits looks for connections that have just had enough time. One that is to close has as long for that.</summary>
    public static readonly TimeSpan Look = TimeSpan.FromMilliseconds(250);

    private readonly Lock _lock = new();

    // Without a request, those first that have had none for longest.
    private readonly LinkedList<Place> _idle = new();
    private readonly LinkedList<Place> _waiting = new();

    // Without a request, and told to close less than a look ago; those first that were told first.
    private readonly LinkedList<Place> _closing = new();
    private int _open;

    /// <summary>Connections that may wait.</summary>
    public int MostWaiting { get; } = Math.Max(16, most / 4);

    /// <summary>Connections that wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>Holds a listener to it: no byte is answered of connections that are too many.</summary>
    /// <param name="listener">The listener.</param>
    /// <param name="refused">Called for each of them.</param>
    /// <param name="own">Connections of the node itself, which need no place.</param>
    public void Apply(ListenOptions listener, Action refused, OwnConnections own) => listener.Use(next => async connection =>
    {
        if (own.TryTake(connection.RemoteEndPoint, connection.LocalEndPoint))
        {
            await next(connection);
            return;
        }

        var lifetime = connection.Features.Get<IConnectionLifetimeNotificationFeature>();

        // Asked to close, it ends what it has begun to answer.
        if (await EnterAsync(() => lifetime?.RequestClose(), connection.Abort, connection.ConnectionClosed) is not { } place)
        {
            refused();
            connection.Abort();
            return;
        }

        using (place)
        {
            connection.Features.Set(place);
            await next(connection);
        }
    });

    /// <summary>Takes a place; null when there is none. Dispose it when the connection has ended.</summary>
    /// <param name="close">Closes the connection once it has no request under way; called at most once, outside of locks.</param>
    /// <param name="cut">Ends the connection at once; called at most once, outside of locks, after <paramref name="close"/> and before any request.</param>
    /// <param name="cancellationToken">The client is gone.</param>
    public async Task<Place?> EnterAsync(Action close, Action cut, CancellationToken cancellationToken)
    {
        var place = new Place(this, close, cut);
        lock (_lock)
        {
            if (_open < most)
            {
                Admit(place);
                return place;
            }

            if (_waiting.Count >= MostWaiting)
            {
                return null;
            }

            _waiting.AddLast(place.Node);
        }

        var start = time.GetTimestamp();
        do
        {
            MakeRoom();
            await place.EnteredAsync.WaitAsync(Look, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        while (!place.EnteredAsync.IsCompleted && !cancellationToken.IsCancellationRequested && time.GetElapsedTime(start) < Patience);

        lock (_lock)
        {
            if (place.EnteredAsync.IsCompleted)
            {
                place.Waited = time.GetElapsedTime(start);
                return place;
            }

            _waiting.Remove(place.Node);
            return null;
        }
    }

    private void Admit(Place place)
    {
        _open++;
        BeIdle(place);
        place.Enter();
    }

    private void BeIdle(Place place)
    {
        place.IdleSince = time.GetTimestamp();
        _idle.AddLast(place.Node);
    }

    private void BeClosing(Place place)
    {
        place.ClosingSince = time.GetTimestamp();
        _closing.AddLast(place.Node);
    }

    /// <summary>Has as many connections close as are waited for.</summary>
    private void MakeRoom()
    {
        var ends = new List<Action>();
        lock (_lock)
        {
            var now = time.GetTimestamp();
            while (_closing.First is { Value: var late } && time.GetElapsedTime(late.ClosingSince, now) >= Look)
            {
                _closing.Remove(late.Node);
                if (!late.HasAsked && !late.IsCut)
                {
                    late.IsCut = true;
                    BeClosing(late);
                    ends.Add(late.Cut);
                }
            }

            for (var node = _idle.First; node is not null && _closing.Count < _waiting.Count;)
            {
                var place = node.Value;
                node = node.Next;
                if (place.HasAsked || time.GetElapsedTime(place.IdleSince, now) >= FirstRequest)
                {
                    _idle.Remove(place.Node);
                    place.IsClosing = true;
                    BeClosing(place);
                    ends.Add(place.Close);
                }
            }
        }

        ends.ForEach(end => end());
    }

    private void Begin(Place place)
    {
        lock (_lock)
        {
            place.HasAsked = true;

            // One that was to close came before the end, and is answered: somebody else may be the first to have gone.
            place.Node.List?.Remove(place.Node);
        }
    }

    private void End(Place place)
    {
        bool isWaitedFor;
        lock (_lock)
        {
            if (place.IsClosing)
            {
                BeClosing(place);
            }
            else
            {
                BeIdle(place);
            }

            isWaitedFor = _closing.Count < _waiting.Count;
        }

        if (isWaitedFor)
        {
            MakeRoom();
        }
    }

    private void Leave(Place place)
    {
        lock (_lock)
        {
            place.Node.List?.Remove(place.Node);
            _open--;
            if (_waiting.First is { } next)
            {
                _waiting.Remove(next);
                Admit(next.Value);
            }
        }
    }

    /// <summary>The place of one connection. Dispose it exactly once, when no request of it is under way. The lock of all protects what is not public.</summary>
    internal sealed class Place : IDisposable
    {
        private readonly FacadeConnections _connections;
        private readonly TaskCompletionSource _entered = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public Place(FacadeConnections connections, Action close, Action cut)
        {
            _connections = connections;
            Close = close;
            Cut = cut;
            Node = new LinkedListNode<Place>(this);
        }

        internal LinkedListNode<Place> Node { get; }

        internal Action Close { get; }

        internal Action Cut { get; }

        /// <summary>Completes when it is one of those that are open.</summary>
        internal Task EnteredAsync => _entered.Task;

        internal long IdleSince { get; set; }

        internal bool HasAsked { get; set; }

        internal bool IsClosing { get; set; }

        internal long ClosingSince { get; set; }

        internal bool IsCut { get; set; }

        internal TimeSpan Waited { private get; set; }

        /// <summary>How long the client has waited for the place: told once, for the first request, which has waited as long.</summary>
        public TimeSpan TakeWaited()
        {
            var waited = Waited;
            Waited = TimeSpan.Zero;
            return waited;
        }

        /// <summary>A request has come; <see cref="EndRequest"/> when it was answered.</summary>
        public void BeginRequest() => _connections.Begin(this);

        public void EndRequest() => _connections.End(this);

        public void Dispose() => _connections.Leave(this);

        internal void Enter() => _entered.TrySetResult();
    }
}
