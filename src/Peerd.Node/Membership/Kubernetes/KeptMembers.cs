using System.Threading.Channels;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>
/// Keeps the newest list of members on disk, aside from who publishes it: a disk that hangs holds nobody up, and one that was full is
/// tried again. Thread-safe.
/// </summary>
/// <param name="file">The file; nobody else writes it.</param>
/// <param name="time">The clock.</param>
internal sealed class KeptMembers(MembersFile file, TimeProvider time)
{
    /// <summary>After a failure it is tried again this much later.</summary>
    internal static readonly TimeSpan Pause = TimeSpan.FromSeconds(30);

    private readonly Channel<MemberList> _newest = Channel.CreateBounded<MemberList>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropOldest });

    /// <summary>This is the list from now on.</summary>
    public void Keep(MemberList members) => _newest.Writer.TryWrite(members);

    /// <summary>Saves what is to be kept, until cancelled; a save that hangs is not waited for then.</summary>
    public async Task RunAsync(CancellationToken stoppingToken)
    {
        while (true)
        {
            var members = await _newest.Reader.ReadAsync(stoppingToken);
            while (!await Task.Run(() => file.Save(members), stoppingToken).WaitAsync(stoppingToken))
            {
                await Task.Delay(Pause, time, stoppingToken);
                members = _newest.Reader.TryRead(out var newer) ? newer : members;
            }
        }
    }
}
