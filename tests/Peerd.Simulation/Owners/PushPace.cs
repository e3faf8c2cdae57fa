using Peerd.Simulation.Events;

namespace Peerd.Simulation.Owners;

/// <summary>When an owner makes its pushes: at once after a quiet moment, else together with what comes soon.</summary>
/// <param name="timeline">The time.</param>
/// <param name="interval">How long that is now.</param>
/// <param name="push">Makes and sends them.</param>
internal sealed class PushPace(Timeline timeline, Func<TimeSpan> interval, Action push)
{
    private TimeSpan _last = TimeSpan.MinValue;
    private bool _isDue;

    /// <summary>There may be something to push.</summary>
    public void Request()
    {
        if (_isDue)
        {
            return;
        }

        var due = _last + interval();
        if (due <= timeline.Now)
        {
            Push();
            return;
        }

        _isDue = true;
        timeline.At(due, Push);
    }

    private void Push()
    {
        _isDue = false;
        _last = timeline.Now;
        push();
    }
}
