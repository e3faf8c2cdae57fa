namespace Peerd.Node.Origin;

/// <summary>
/// What goes on at one registry: requests under way, pauses that it asked for, and whether it could be reached. Thread-safe.
/// </summary>
internal sealed class RegistryState(RegistryEndpoint endpoint, OriginSettings settings, TimeProvider time, ILogger logger) : IDisposable
{
    // Apart, because a blob keeps its slot until it is read: a tag must not wait for gigabytes.
    private readonly OriginLane _blobs = new(settings, time);
    private readonly OriginLane _others = new(settings, time);

    // For the whole registry, as its limits are for an account or an address, not for a repository. Apart, because one
    // counts manifests only (Docker Hub), and its blobs must still be readable when there are no more manifests today.
    private readonly OriginPause _manifestPause = new($"manifests of {endpoint.Name}", time, logger);
    private readonly OriginPause _blobPause = new($"blobs of {endpoint.Name}", time, logger);

    private int _isUnreachable;
    private volatile bool _wantsPassword;

    public RegistryEndpoint Endpoint { get; } = endpoint;

    /// <summary>For where the registry's redirects lead, which knows nothing of the registry's own limits.</summary>
    public OriginPause StorePause { get; } = new($"the store of {endpoint.Name}", time, logger);

    /// <summary>For its token server: who has a token goes on.</summary>
    public OriginPause TokenPause { get; } = new($"the token server of {endpoint.Name}", time, logger);

    /// <summary>It asked for a password, and not for a token: the operator's goes with the first request, and clients' are passed on.</summary>
    public bool WantsPassword
    {
        get => _wantsPassword;
        set => _wantsPassword = value;
    }

    /// <summary>The answer when a lane takes no more.</summary>
    public OriginFailure QueueFull { get; } = new($"too many requests wait for {endpoint.Name}", Unasked: UnaskedReason.QueueFull);

    public OriginLane LaneOf(OriginQuestion question) =>
        question is { Kind: OriginKind.Blob, IsCheck: false } && question.Method == HttpMethod.Get ? _blobs : _others;

    /// <summary>The pause of the registry itself.</summary>
    public OriginPause PauseOf(OriginKind kind) => kind == OriginKind.Blob ? _blobPause : _manifestPause;

    /// <summary>Notes whether it was reached; true when that is news.</summary>
    public bool Note(bool isReached)
    {
        var unreachable = isReached ? 0 : 1;
        return Volatile.Read(ref _isUnreachable) != unreachable && Interlocked.Exchange(ref _isUnreachable, unreachable) != unreachable;
    }

    public void Dispose()
    {
        _blobs.Dispose();
        _others.Dispose();
    }
}
