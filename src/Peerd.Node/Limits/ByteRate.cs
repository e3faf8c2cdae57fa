using Peerd.Contracts;

namespace Peerd.Node.Limits;

/// <summary>
/// So many bytes a second. Who waits is served by <see cref="Urgency"/>, the contents of one urgency with as many bytes each
/// however many ask for them, and of one content the first who came. Thread-safe.
/// </summary>
/// <remarks>
/// The limiters of <c>System.Threading.RateLimiting</c> know one queue without order among those who wait, and the clock of the
/// machine only. An amount is given as soon as the bucket is not empty, and what it lacks is owed: so no block is too large
/// for it, and none waits until all of it has come together.
/// </remarks>
internal sealed class ByteRate : IDisposable
{
    // Timers know whole milliseconds, and a tenth of a second of bytes at once is no burst to speak of.
    private static readonly TimeSpan LeastWait = TimeSpan.FromMilliseconds(1);

    private readonly Lock _lock = new();
    private readonly Turns[] _waiting = [new(), new(), new()];
    private readonly double _perSecond;
    private readonly double _burst;
    private readonly TimeProvider _time;
    private readonly ITimer _refill;
    private double _tokens;
    private long _at;

    /// <param name="perSecond">Bytes that come back in a second.</param>
    /// <param name="burst">Bytes of a full bucket.</param>
    /// <param name="time">Clock.</param>
    public ByteRate(long perSecond, long burst, TimeProvider time)
    {
        (_perSecond, _burst, _tokens, _time) = (perSecond, burst, burst, time);
        _at = time.GetTimestamp();
        _refill = time.CreateTimer(static rate => ((ByteRate)rate!).Refill(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>How many wait.</summary>
    public int Waiting
    {
        get
        {
            lock (_lock)
            {
                return _waiting.Sum(turns => turns.Count);
            }
        }
    }

    /// <summary>Nobody waits, and nothing has been taken that has not come back.</summary>
    public bool IsFull
    {
        get
        {
            lock (_lock)
            {
                Earn();
                return _tokens >= _burst && _waiting.All(turns => turns.Count == 0);
            }
        }
    }

    /// <summary>A limit from the settings: a tenth of a second may come at once; null when there is none.</summary>
    public static ByteRate? Of(long perSecond, TimeProvider time) => perSecond == 0 ? null : new ByteRate(perSecond, Math.Max(1, perSecond / 10), time);

    /// <summary>Takes these bytes if they may be moved now; false when not.</summary>
    public bool TryTake(int bytes)
    {
        lock (_lock)
        {
            Earn();
            if (_tokens <= 0 || _waiting.Any(turns => turns.Count > 0))
            {
                return false;
            }

            _tokens -= bytes;
            return true;
        }
    }

    /// <summary>Completes when these bytes may be moved; they count as moved from then on.</summary>
    public Task TakeAsync(int bytes, Urgency urgency, Digest content, CancellationToken cancellationToken)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            return Task.FromCanceled(cancellationToken);
        }

        Waiter waiter;
        lock (_lock)
        {
            if (TryTake(bytes))
            {
                return Task.CompletedTask;
            }

            waiter = new Waiter(bytes) { Urgency = urgency };
            _waiting[(int)urgency].Add(content, waiter);
            WaitForNext();
        }

        // Outside the lock: a token that is cancelled already calls back at once.
        waiter.Registration = cancellationToken.UnsafeRegister(
            static (state, token) =>
            {
                var (rate, content, waiter) = ((ByteRate, Digest, Waiter))state!;
                rate.Forget(content, waiter, token);
            },
            (this, content, waiter));
        return WaitAsync(waiter);
    }

    /// <summary>A container waits for some of what was fetched ahead of this content: whoever waits with that urgency goes before all others, this once.</summary>
    public void Hasten(Digest content)
    {
        lock (_lock)
        {
            foreach (var waiter in _waiting[(int)Urgency.Ahead].RemoveAll(content))
            {
                waiter.Urgency = Urgency.Streaming;
                _waiting[(int)Urgency.Streaming].Add(content, waiter);
            }
        }
    }

    /// <summary>Bytes that were moved and not taken: who comes next waits for them, too.</summary>
    public void Owe(int bytes)
    {
        lock (_lock)
        {
            Earn();
            _tokens -= bytes;
        }
    }

    /// <summary>Bytes that were taken and not moved.</summary>
    public void GiveBack(int bytes)
    {
        lock (_lock)
        {
            Earn();
            _tokens = Math.Min(_burst, _tokens + bytes);
            Serve();
        }
    }

    public void Dispose() => _refill.Dispose();

    private static async Task WaitAsync(Waiter waiter)
    {
        try
        {
            await waiter.Granted.Task;
        }
        finally
        {
            await waiter.Registration.DisposeAsync();
        }
    }

    private void Forget(Digest content, Waiter waiter, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (!_waiting[(int)waiter.Urgency].Remove(content, waiter))
            {
                return;
            }
        }

        waiter.Granted.TrySetCanceled(cancellationToken);
    }

    private void Refill()
    {
        lock (_lock)
        {
            Earn();
            Serve();
        }
    }

    private void Earn()
    {
        var now = _time.GetTimestamp();
        _tokens = Math.Min(_burst, _tokens + (_time.GetElapsedTime(_at, now).TotalSeconds * _perSecond));
        _at = now;
    }

    private void Serve()
    {
        while (_tokens > 0 && _waiting.FirstOrDefault(turns => turns.Count > 0) is { } turns)
        {
            var next = turns.Next();
            _tokens -= next.Bytes;

            // Who waited goes on elsewhere, not within this lock.
            next.Granted.TrySetResult();
        }

        WaitForNext();
    }

    private void WaitForNext()
    {
        if (_waiting.All(turns => turns.Count == 0))
        {
            return;
        }

        // One more than none, or the timer would find an empty bucket.
        var wait = TimeSpan.FromMilliseconds(Math.Ceiling((1 - Math.Min(0, _tokens)) / _perSecond * 1000));
        _refill.Change(wait > LeastWait ? wait : LeastWait, Timeout.InfiniteTimeSpan);
    }

    private sealed class Waiter(int bytes)
    {
        public int Bytes => bytes;

        /// <summary>With whom it waits; the lock of all protects it.</summary>
        public Urgency Urgency { get; set; }

        public TaskCompletionSource Granted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public CancellationTokenRegistration Registration { get; set; }
    }

    /// <summary>
    /// Those who wait with one urgency. The content that got the fewest bytes is next; one that comes anew, or again, begins where
    /// the others are. Blocks of small contents are smaller, which is why it is bytes that are counted and not blocks.
    /// </summary>
    private sealed class Turns
    {
        private const int ManyContents = 64;
        private const int MostContents = 4096;

        private readonly Dictionary<Digest, Line> _lines = [];
        private long _reached;

        public int Count { get; private set; }

        public void Add(Digest content, Waiter waiter)
        {
            if (!_lines.TryGetValue(content, out var line))
            {
                ForgetThoseBehind();
                _lines.Add(content, line = new Line());
            }

            line.Given = Math.Max(line.Given, _reached);
            line.Waiters.AddLast(waiter);
            Count++;
        }

        public bool Remove(Digest content, Waiter waiter)
        {
            if (!_lines.TryGetValue(content, out var line) || !line.Waiters.Remove(waiter))
            {
                return false;
            }

            Count--;
            return true;
        }

        public Waiter[] RemoveAll(Digest content)
        {
            if (!_lines.TryGetValue(content, out var line))
            {
                return [];
            }

            Waiter[] all = [.. line.Waiters];
            line.Waiters.Clear();
            Count -= all.Length;
            return all;
        }

        public Waiter Next()
        {
            Line? line = null;
            foreach (var each in _lines.Values)
            {
                if (each.Waiters.Count > 0 && (line is null || each.Given < line.Given))
                {
                    line = each;
                }
            }

            var next = line!.Waiters.First!.Value;
            line.Waiters.RemoveFirst();
            _reached = line.Given;
            line.Given += next.Bytes;
            Count--;
            return next;
        }

        // Who is not ahead of the others loses nothing by being forgotten; when contents come without end, nor does it matter
        // that one gets a block more.
        private void ForgetThoseBehind()
        {
            if (_lines.Count < ManyContents)
            {
                return;
            }

            var isFull = _lines.Count >= MostContents;
            foreach (var (content, line) in _lines)
            {
                if (line.Waiters.Count == 0 && (isFull || line.Given <= _reached))
                {
                    _lines.Remove(content);
                }
            }
        }

        private sealed class Line
        {
            public LinkedList<Waiter> Waiters { get; } = new();

            /// <summary>Bytes that the content got, or would have got had it been here all the time.</summary>
            public long Given { get; set; }
        }
    }
}
