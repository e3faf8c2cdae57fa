using System.Net;
using System.Net.Sockets;
using System.Text.Json;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// One host of a <see cref="LabNetwork"/>: a network namespace with its own loopback and one link to the bridge. Both ends of
/// the link have a token bucket: the host's end limits what it sends, the bridge's end what it receives.
/// </summary>
internal sealed class LabHost(string name, IPAddress address, NetworkNamespace own, NetworkNamespace @switch, string port)
{
    /// <summary>Its interface.</summary>
    public const string Device = "eth0";

    private const int PrefixLength = 16;
    private const string CongestionControl = "cubic";

    // No network card of the lab has it.
    private const string NobodysAddress = "02:00:00:00:00:01";

    /// <summary>For people.</summary>
    public string Name => name;

    /// <summary>Its address within the network.</summary>
    public IPAddress Address => address;

    /// <summary>Ids of processes in the namespaces of the host and of the bridge.</summary>
    public IReadOnlyList<int> Namespaces => [own.Id, @switch.Id];

    /// <summary>Gives the link its address, and opens loopback.</summary>
    public async Task ConnectAsync()
    {
        // The same on every machine, whatever its own default is: Linux hosts use cubic unless somebody changes it.
        var known = await File.ReadAllTextAsync("/proc/sys/net/ipv4/tcp_available_congestion_control");
        var congestion = known.Split(' ', '\n').Contains(CongestionControl) ? $" congctl {CongestionControl}" : string.Empty;
        var network = new IPNetwork(new IPAddress([.. address.GetAddressBytes()[..2], 0, 0]), PrefixLength);
        await own.RunAsync(
            "ip link set lo up",
            $"ip link set {Device} up",
            $"ip addr add {address}/{PrefixLength} dev {Device} noprefixroute",
            $"ip route add {network} dev {Device} src {address}{congestion}");
    }

    /// <summary>Limits the link, each way.</summary>
    /// <param name="rate">Bits per second on the wire, headers included.</param>
    public async Task LimitAsync(long rate)
    {
        // 5 ms of bytes may pass at once: less, and a processor that is busy elsewhere wastes the link. 25 ms may wait, as in a switch.
        var bytesPerSecond = rate / 8;
        // A burst holds the largest packet that the kernel passes on whole: cut into small ones they cost processor time that
        // real network cards save.
        var (burst, queue) = (Math.Max(70_000, bytesPerSecond / 100), Math.Max(200_000, bytesPerSecond / 25));
        var limit = $"root handle 1: tbf rate {rate}bit burst {burst} limit {queue}";
        await own.RunAsync($"tc qdisc replace dev {Device} {limit}");
        await @switch.RunAsync($"tc qdisc replace dev {port} {limit}");
    }

    /// <summary>Connects the link to another bridge.</summary>
    public async Task JoinAsync(string bridge) => await @switch.RunAsync($"ip link set {port} master {bridge}");

    /// <summary>Pulls the cable: whatever is sent is lost, and nobody is told.</summary>
    public async Task UnplugAsync() => await @switch.RunAsync($"ip link set {port} down");

    /// <summary>Puts the cable back.</summary>
    public async Task PlugInAsync() => await @switch.RunAsync($"ip link set {port} up");

    /// <summary>Loses all that this host sends to another one, and nobody is told; the other way stays.</summary>
    public Task LoseTrafficToAsync(LabHost other) => own.RunAsync($"ip neigh replace {other.Address} lladdr {NobodysAddress} dev {Device} nud permanent");

    /// <summary>Ends <see cref="LoseTrafficToAsync"/>.</summary>
    public Task FindAgainAsync(LabHost other) => own.RunAsync($"ip neigh del {other.Address} dev {Device}");

    /// <summary>Starts a program on this host, owned by the lab of the network or by one that ends earlier.</summary>
    public Task<RunningProcess> StartAsync(Lab lab, string program, string fileName, IEnumerable<string> arguments) =>
        own.StartAsync(lab, program, fileName, arguments);

    /// <summary>What has passed its interface; cheap.</summary>
    public Task<InterfaceTraffic> ReadTrafficAsync() => own.ReadTrafficAsync(Device);

    /// <summary>Bytes that it has sent with the headers of every single packet, as its token bucket counts them.</summary>
    public async Task<long> ReadSentOnWireAsync()
    {
        var output = await own.RunAsync($"tc -s -j qdisc show dev {Device}");
        using var json = JsonDocument.Parse(string.Concat(output));
        return json.RootElement[0].GetProperty("bytes").GetInt64();
    }

    /// <summary>A TCP socket of this host, not connected yet.</summary>
    public Task<Socket> OpenSocketAsync() => own.OpenSocketAsync();

    /// <summary>A client whose connections begin on this host; its loopback addresses are the host's.</summary>
    public HttpClient CreateClient() => new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        ConnectTimeout = TimeSpan.FromSeconds(5),
        ConnectCallback = ConnectAsync,
    })
    {
        Timeout = Timeout.InfiniteTimeSpan,
    };

    private async ValueTask<Stream> ConnectAsync(SocketsHttpConnectionContext context, CancellationToken cancellationToken)
    {
        var socket = await own.OpenSocketAsync();
        try
        {
            await socket.ConnectAsync(context.DnsEndPoint, cancellationToken);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
