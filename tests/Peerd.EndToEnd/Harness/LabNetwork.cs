using System.Net;

namespace Peerd.EndToEnd.Harness;

/// <summary>Hosts that are connected by one bridge, each with an address of its own and a limited link.</summary>
internal sealed class LabNetwork
{
    private const string Bridge = "bridge";

    private readonly Lab _lab;
    private readonly NetworkNamespace _switch;
    private int _hosts;
    private int _zones;

    private LabNetwork(Lab lab, NetworkNamespace @switch)
    {
        _lab = lab;
        _switch = @switch;
    }

    /// <summary>Makes a network without hosts.</summary>
    public static async Task<LabNetwork> CreateAsync(Lab lab)
    {
        var @switch = await NetworkNamespace.CreateAsync(lab, Bridge);

        // A bridge without listening and learning phases forwards from the first packet on.
        await @switch.RunAsync($"ip link add {Bridge} type bridge forward_delay 0", $"ip link set {Bridge} up");
        return new LabNetwork(lab, @switch);
    }

    /// <summary>Makes a zone without hosts. Not for calls at the same time.</summary>
    public async Task<LabZone> AddZoneAsync()
    {
        _zones++;
        var (bridge, up, down) = ($"zone{_zones}", $"up{_zones}", $"down{_zones}");
        await _switch.RunAsync(
            $"ip link add {bridge} type bridge forward_delay 0",
            $"ip link set {bridge} up",
            $"ip link add {up} type veth peer name {down}",
            $"ip link set {up} master {bridge} up",
            $"ip link set {down} master {Bridge} up");
        return new LabZone(_switch, bridge, up);
    }

    /// <summary>Takes a host out of its zone again.</summary>
    public static Task TakeOutAsync(LabHost host) => host.JoinAsync(Bridge);

    /// <summary>Connects a new host. Not for calls at the same time.</summary>
    /// <param name="name">For people.</param>
    /// <param name="rate">Bits per second of its link, each way.</param>
    public async Task<LabHost> AddHostAsync(string name, long rate)
    {
        _hosts++;
        var (port, address) = ($"port{_hosts}", new IPAddress([10, 77, (byte)(_hosts >> 8), (byte)_hosts]));
        var own = await NetworkNamespace.CreateAsync(_lab, name);
        await _switch.RunAsync(
            $"ip link add {port} type veth peer name {LabHost.Device} netns {own.Id}",
            $"ip link set {port} master {Bridge} up");
        var host = new LabHost(name, address, own, _switch, port);
        await host.ConnectAsync();
        await host.LimitAsync(rate);
        return host;
    }
}
