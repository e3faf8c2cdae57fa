namespace Peerd.Node.Mesh;

/// <summary>
/// Ends a range whose peer says nothing for too long. On a thin link that many ranges share, the next message of each may take
/// longer than that, although bytes come all the time: then it is not the peer that is silent, until each range could have
/// had its own. What comes is looked at only when a quarter of the time is over: a word of the peer, which nearly always comes
/// before, costs nothing but a timer. Thread-safe.
/// </summary>
internal sealed class RangeSilence : IDisposable
{
    /// <summary>What comes between two looks from a peer that only keeps the connection alive is less.</summary>
    private const int LeastBytes = 8 * 1024;

    /// <summary>Messages that each range could have had meanwhile, were they sent evenly; they come in turns of some.</summary>
    private const int MessagesOfEach = 4;

    private readonly Lock _lock = new();
    private readonly CancellationTokenSource _ended = new();
    private readonly TimeProvider _time;
    private readonly TimeSpan _timeout;
    private readonly PeerLoad _load;
    private readonly int _messageSize;
    private readonly ITimer _timer;
    private long _lastWord;
    private long? _atFirstLook;
    private long _atLastLook;
    private long _armed;
    private TimeSpan _interval;
    private bool _isPaused;

    /// <param name="timeout">Longest time without a word of the peer.</param>
    /// <param name="load">What else comes from the peer.</param>
    /// <param name="messageSize">Bytes of a message of frames at most.</param>
    /// <param name="time">The clock.</param>
    public RangeSilence(TimeSpan timeout, PeerLoad load, int messageSize, TimeProvider time)
    {
        (_timeout, _load, _messageSize, _time) = (timeout, load, messageSize, time);
        _timer = time.CreateTimer(static state => ((RangeSilence)state!).Look(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Heard();
    }

    /// <summary>Is cancelled when the peer has been silent for too long.</summary>
    public CancellationToken Ended => _ended.Token;

    /// <summary>The peer has said something.</summary>
    public void Heard()
    {
        lock (_lock)
        {
            (_lastWord, _atFirstLook) = (_time.GetTimestamp(), null);
            Arm(_timeout / 4);
        }
    }

    /// <summary>Nothing is expected of the peer, until <see cref="Heard"/>.</summary>
    public void Pause()
    {
        lock (_lock)
        {
            _isPaused = true;
        }
    }

    public void Dispose()
    {
        lock (_lock)
        {
            _timer.Dispose();
            _ended.Dispose();
        }
    }

    private void Arm(TimeSpan interval)
    {
        (_armed, _interval, _isPaused) = (_time.GetTimestamp(), interval, false);
        _timer.Change(_interval, Timeout.InfiniteTimeSpan);
    }

    private void Look()
    {
        lock (_lock)
        {
            if (_isPaused)
            {
                return;
            }

            if (_interval - _time.GetElapsedTime(_armed) is var left && left > TimeSpan.Zero)
            {
                // It was due before the last word.
                _timer.Change(left, Timeout.InfiniteTimeSpan);
                return;
            }

            var received = _load.ReceivedBytes;
            if (_atFirstLook is not { } first)
            {
                // A look that comes late, on a machine that has no time, says nothing of the peer.
                var rest = _timeout - _time.GetElapsedTime(_lastWord);
                _atFirstLook = _atLastLook = received;
                Arm(rest > _timeout / 4 ? rest : _timeout / 4);
                return;
            }

            if (received - _atLastLook >= LeastBytes && received - first < MessagesOfEach * (long)_messageSize * _load.Ranges)
            {
                _atLastLook = received;
                Arm(_timeout);
                return;
            }
        }

        try
        {
            _ended.Cancel();
        }
        catch (ObjectDisposedException)
        {
            // The range has just ended.
        }
    }
}
