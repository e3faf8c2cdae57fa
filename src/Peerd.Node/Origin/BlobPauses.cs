using System.Net;

namespace Peerd.Node.Origin;

/// <summary>
/// The pauses that a host of blobs asked for: each holds for those who bring the same credential, whose quota it is, and for those who bring
/// none together, who have one by their address. A signature is no account of its own. Thread-safe.
/// </summary>
internal sealed class BlobPauses(string host, TimeProvider time, ILogger logger)
{
    /// <summary>Credentials that may be paused at one time: of a host that says so to more it is everybody.</summary>
    public const int MostCredentials = 64;

    /// <summary>
    /// After so long the host is asked again, whatever it said: overlaybd, which would not heed it at all, has no other way to its blobs, and
    /// gives a read up after 30 s. What the host said may concern one signature, or one machine of many.
    /// </summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(10);

    private readonly Lock _lock = new();
    private readonly OriginPause _everybody = new($"blobs at {host}", time, logger);
    private readonly Dictionary<UInt128, OriginPause> _pauses = [];

    /// <summary>Somebody is to wait.</summary>
    public bool Any
    {
        get
        {
            lock (_lock)
            {
                ForgetEnded();
                return _pauses.Count > 0 || _everybody.Refusal is not null;
            }
        }
    }

    /// <summary>Who is asking, without the credential itself.</summary>
    public static UInt128 WhoBrings(string? authorization) => authorization is null ? default : SecretFingerprint.Of(authorization);

    /// <inheritdoc cref="OriginPause.Refusal"/>
    public OriginFailure? RefusalOf(UInt128 who)
    {
        lock (_lock)
        {
            return _everybody.Refusal ?? _pauses.GetValueOrDefault(who)?.Refusal;
        }
    }

    /// <inheritdoc cref="OriginPause.Heed"/>
    public void Heed(UInt128 who, HttpStatusCode status, TimeSpan? retryAfter)
    {
        if (retryAfter is not { } asked)
        {
            return;
        }

        lock (_lock)
        {
            ForgetEnded();
            if (!_pauses.TryGetValue(who, out var pause))
            {
                pause = _pauses.Count < MostCredentials ? _pauses[who] = NewPause(who == default ? "without a credential" : "with the same credential") : _everybody;
            }

            pause.Heed(status, asked < Longest ? asked : Longest);
        }
    }

    private OriginPause NewPause(string of) => new($"blobs at {host} {of}", time, logger);

    private void ForgetEnded()
    {
        foreach (var (who, pause) in _pauses)
        {
            if (pause.Refusal is null)
            {
                _pauses.Remove(who);
            }
        }
    }
}
