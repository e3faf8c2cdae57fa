using System.Threading.Channels;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>
/// Keeps the newest list of members on disk, aside from who publishes it: a disk that hangs holds nobody up, one that was full is
/// tried again, and one that is slow is not kept busy by nodes that come and go. Thread-safe.
/// </summary>
/// <param name="file">The file; nobody else in this process writes it.</param>
/// <param name="time">The clock.</param>
internal sealed class KeptMembers(MembersFile file, TimeProvider time)
{
    /// <summary>From one attempt to save to the next it takes as long, whatever has become of the first.</summary>
    internal static readonly TimeSpan Pause = TimeSpan.FromSeconds(30);

    /// <summary>How long the last save may hold up the end, or a handover.</summary>
    internal static readonly TimeSpan LastTimeout = TimeSpan.FromSeconds(2);

    private readonly Lock _lock = new();
    private readonly Channel<MemberList> _newest = Channel.CreateBounded<MemberList>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });
    private Task _saving = Task.CompletedTask;
    private volatile MemberList? _unsaved;

    /// <summary>This is the list from now on.</summary>
    public void Keep(MemberList members)
    {
        if (!file.IsNone)
        {
            _newest.Writer.TryWrite(members);
        }
    }

    /// <summary>Saves what is to be kept, until cancelled and then once more; a save that hangs is not waited for.</summary>
    public async Task RunAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                if (_unsaved is null)
                {
                    await _newest.Reader.WaitToReadAsync(stoppingToken);
                }

                await SaveAsync().WaitAsync(stoppingToken);
                await Task.Delay(Pause, time, stoppingToken);
            }
        }
        finally
        {
            if (_saving.IsCompletedSuccessfully)
            {
                await SaveNowAsync();
            }
        }
    }

    /// <summary>Saves what has not been saved yet, for another process is about to read the file. A save that hangs is not waited for.</summary>
    public async Task SaveNowAsync()
    {
        var saving = SaveAsync().WaitAsync(LastTimeout, time, CancellationToken.None);
        await saving.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private Task SaveAsync()
    {
        lock (_lock)
        {
            return _saving = SaveAfterAsync(_saving);
        }
    }

    // One after the other, or the older list could be the last one that is written.
    private async Task SaveAfterAsync(Task former)
    {
        await former.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_newest.Reader.TryRead(out var newest))
        {
            _unsaved = newest;
        }

        if (_unsaved is { } members && await Task.Run(() => file.Save(members)))
        {
            _unsaved = null;
        }
    }
}
