using System.Runtime.CompilerServices;

namespace Peerd.Node.Membership;

/// <summary>
/// Publishes immutable snapshots: one writer, any number of readers, no lock and no queue. A reader that is slower
/// than the writer misses snapshots in between, never the last one, and sees none twice in a row.
/// </summary>
/// <param name="initial">The snapshot before the first <see cref="Publish"/>.</param>
internal sealed class Latest<T>(T initial)
    where T : notnull
{
    private volatile Entry _newest = new(initial);

    /// <summary>The newest snapshot.</summary>
    public T Current => _newest.Value;

    /// <summary>Replaces the snapshot; one that equals the newest is ignored. Not to be called concurrently.</summary>
    public void Publish(T value)
    {
        var former = _newest;
        if (!EqualityComparer<T>.Default.Equals(former.Value, value))
        {
            _newest = new Entry(value);
            former.Replaced.SetResult();
        }
    }

    /// <summary>The newest snapshot, then each one that replaces it, until cancelled.</summary>
    public async IAsyncEnumerable<T> WatchAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        var entry = _newest;
        var told = entry.Value;
        yield return told;
        while (true)
        {
            await entry.Replaced.Task.WaitAsync(cancellationToken);
            entry = _newest;
            if (!EqualityComparer<T>.Default.Equals(entry.Value, told))
            {
                told = entry.Value;
                yield return told;
            }
        }
    }

    private sealed class Entry(T value)
    {
        public T Value { get; } = value;

        // Readers must not run on the writer's stack.
        public TaskCompletionSource Replaced { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
