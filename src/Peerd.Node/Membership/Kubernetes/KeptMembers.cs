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

    /// <summary>How long the last save may hold up the end.</summary>
    private static readonly TimeSpan LastTimeout = TimeSpan.FromSeconds(2);

    private readonly Channel<MemberList> _newest = Channel.CreateBounded<MemberList>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });

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
        MemberList? unsaved = null;
        var saving = Task.FromResult(result: true);
        try
        {
            while (true)
            {
                var members = Newest() ?? unsaved ?? await _newest.Reader.ReadAsync(stoppingToken);
                unsaved = members;
                saving = SaveAsync(members);
                unsaved = await saving.WaitAsync(stoppingToken) ? null : members;
                await Task.Delay(Pause, time, stoppingToken);
            }
        }
        finally
        {
            if (saving.IsCompletedSuccessfully && (Newest() ?? unsaved) is { } last)
            {
                Task end = SaveAsync(last).WaitAsync(LastTimeout, time, CancellationToken.None);
                await end.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private MemberList? Newest() => _newest.Reader.TryRead(out var newest) ? newest : null;

    private Task<bool> SaveAsync(MemberList members) => Task.Run(() => file.Save(members), CancellationToken.None);
}
