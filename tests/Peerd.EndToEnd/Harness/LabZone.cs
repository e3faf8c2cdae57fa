namespace Peerd.EndToEnd.Harness;

/// <summary>Some hosts of a <see cref="LabNetwork"/> behind a bridge of their own, with one link to the rest of the network.</summary>
internal sealed class LabZone(NetworkNamespace @switch, string bridge, string uplink)
{
    /// <summary>Moves a host here.</summary>
    public Task TakeInAsync(LabHost host) => host.JoinAsync(bridge);

    /// <summary>Bytes that have left the zone so far.</summary>
    public async Task<long> ReadSentAsync() => (await @switch.ReadTrafficAsync(uplink)).SentBytes;
}
