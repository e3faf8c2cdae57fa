using BitFaster.Caching.Lru;
using Peerd.Node.Origin;

namespace Peerd.Node.Swarm;

/// <summary>
/// Repositories whose registry has answered a client that brought nothing, and asked for nothing: the next content of it need
/// not find that out again. What is asked to find it out is asked once at a time. Thread-safe.
/// </summary>
internal sealed class OpenRepositories(TimeProvider time)
{
    /// <summary>More push out those that nobody wanted anything of lately.</summary>
    public const int Most = 1024;

    /// <summary>Long enough for a pull, and short enough that a repository may be closed.</summary>
    public static readonly TimeSpan Memory = TimeSpan.FromMinutes(1);

    private readonly ConcurrentLru<(string Registry, string Repository), long> _answered = new(Most);
    private readonly Lock _lock = new();
    private readonly Dictionary<(string Registry, string Repository), Task<bool>> _asking = [];

    /// <summary>The registry is not known to ask for anything, and has said so not long ago.</summary>
    public bool IsOpen(OriginReference origin) => _answered.TryGet(KeyOf(origin), out var since) && time.GetElapsedTime(since) < Memory;

    /// <summary>Notes what was answered to a client, if it was one that brought nothing.</summary>
    public void Note(OriginReference origin, OriginResponse answer)
    {
        if (CallerCredential.None.Equals(origin.Credential) && answer is { Challenge: null, IsDown: false })
        {
            _answered.AddOrUpdate(KeyOf(origin), time.GetTimestamp());
        }
    }

    /// <summary>Asks; null when the repository is open as far as is known, also by what somebody else has asked meanwhile, or nobody needs to know any more.</summary>
    /// <param name="origin">Of a client that brought nothing.</param>
    /// <param name="ask">Asks the registry; null when it need not be known any more.</param>
    /// <param name="cancellationToken">Nobody waits any more.</param>
    public async Task<OriginResponse?> AskAsync(OriginReference origin, Func<Task<OriginResponse?>> ask, CancellationToken cancellationToken)
    {
        var key = KeyOf(origin);
        var asked = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        while (!TryBegin(key, asked.Task, out var before))
        {
            var isAnswered = await before.WaitAsync(cancellationToken);
            if (IsOpen(origin))
            {
                return null;
            }

            if (isAnswered)
            {
                // Who has to bring something has to be told so itself, and soon: not one after the other.
                return await ask();
            }
        }

        OriginResponse? answer = null;
        try
        {
            answer = IsOpen(origin) ? null : await ask();
            if (answer is not null)
            {
                Note(origin, answer);
            }

            return answer;
        }
        finally
        {
            lock (_lock)
            {
                _asking.Remove(key);
            }

            // Without an answer, as when its content is here now, the next one asks.
            asked.SetResult(answer is not null);
        }
    }

    /// <summary>It is one's own turn to ask; if not, the task tells when who asks was answered, or will not be.</summary>
    private bool TryBegin((string Registry, string Repository) key, Task<bool> own, out Task<bool> current)
    {
        lock (_lock)
        {
            current = _asking.GetValueOrDefault(key, own);
            return _asking.TryAdd(key, own);
        }
    }

    private static (string Registry, string Repository) KeyOf(OriginReference origin) => (origin.Registry, origin.Repository);
}
