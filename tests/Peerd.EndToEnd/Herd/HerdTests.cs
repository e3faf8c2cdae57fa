using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Herd;

/// <summary>
/// Nodes on hosts of their own, with links so slow that "in the middle of the pull" is a moment that counters show, all
/// pulling the same image at once.
/// </summary>
public sealed class HerdTests : LabTest
{
    private const string Repository = "team/app";
    private const string Tag = "v1";
    private const int Nodes = 4;
    private const int MiB = 1 << 20;
    private const long Rate = 50_000_000;
    private const long ThinRate = 1_000_000;
    private const long RegistryRate = 2 * Rate;
    private const double HealthyAmplification = 1.05;

    /// <summary>The headers of all packets beside that, and those that are lost at a limited link and sent again.</summary>
    private const double HealthyAmplificationOnWire = 1.2;

    private TestImage _image = null!;
    private DockerRegistry _registry = null!;
    private LabHost _registryHost = null!;
    private LabHost[] _hosts = null!;
    private PeerdNode[] _nodes = null!;
    private ImagePuller[] _pullers = null!;

    /// <inheritdoc />
    public override async ValueTask InitializeAsync()
    {
        await base.InitializeAsync();
        _image = TestImage.Generate(Lab.CreateFolder("image"), seed: 51, 11 * MiB, 4 * MiB, MiB);
        var network = await LabNetwork.CreateAsync(Lab);
        _registryHost = await network.AddHostAsync("registry", RegistryRate);
        _registry = await DockerRegistry.StartAsync(Lab, _registryHost);
        await _registry.PushAsync(_image, Repository, Tag);
        _hosts = new LabHost[Nodes];
        for (var i = 0; i < Nodes; i++)
        {
            _hosts[i] = await network.AddHostAsync($"n{i + 1}", Rate);
        }

        _nodes = Array.ConvertAll(_hosts, host => PeerdNode.Create(Lab, host));
        await PeerdNode.StartAllAsync(_nodes, _nodes, _registry.Upstream);
        _pullers = [.. _hosts.Zip(_nodes, (host, node) => new ImagePuller(host, node.Facade, _registry.Upstream, Repository, Tag))];
    }

    [Fact]
    public async Task Pull_AllAtOnce_EachByteLeavesTheRegistryAboutOnce()
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        var before = await _registryHost.ReadSentOnWireAsync();

        await DemandAsync(StartPulls(deadline.Token));

        var size = (double)_image.All.Sum(part => part.Size);
        Assert.InRange(_registry.BytesSoFar / size, 1, HealthyAmplification);
        var read = _registry.ReadSoFar();
        Assert.All(_image.Layers, layer => Assert.InRange(read[layer.Digest].Requests, 1, new ContentLayout(layer.Size).SegmentCount));
        Assert.InRange((await _registryHost.ReadSentOnWireAsync() - before) / size, 1, HealthyAmplificationOnWire);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pull_NodeKilledInTheMiddle_OtherPullsFinish(bool isOwner)
    {
        var victim = FindNode(isOwner);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var pulls = StartPulls(deadline.Token);

        await HasATenthAsync(victim);
        Assert.All(pulls, pull => Assert.False(pull.IsCompleted));
        await _nodes[victim].Process.KillAsync();

        await DemandAsync(pulls.Where((_, i) => i != victim));
        Assert.NotNull(await pulls[victim]);
    }

    [Fact]
    public async Task Read_LinkSoThinThatAFrameTakesLongerThanPeersMayBeSilent_BytesComeAndNobodyIsBlamed()
    {
        using var deadline = new CancellationTokenSource(PullTimeout);
        await DemandAsync(StartPulls(deadline.Token, except: 0));
        await _hosts[0].LimitAsync(ThinRate);
        var layer = _image.Layers[0];
        using var client = _hosts[0].CreateClient();
        using var answer = await client.GetAsync(
            new Uri(_nodes[0].Facade, $"v2/{Repository}/blobs/{layer.Digest}?ns={_registry.Name}"), HttpCompletionOption.ResponseHeadersRead, deadline.Token);
        await using var body = await answer.Content.ReadAsStreamAsync(deadline.Token);
        var bytes = new byte[MiB / 8];

        await body.ReadExactlyAsync(bytes, deadline.Token);

        await using var file = File.OpenRead(layer.File);
        var expected = new byte[bytes.Length];
        await file.ReadExactlyAsync(expected, deadline.Token);
        Assert.True(bytes.AsSpan().SequenceEqual(expected));
        Assert.Equal(0, (await NodeMetrics.ReadAsync(_nodes[0], _hosts[0], deadline.Token)).Sum("peerd_peer_fetches_total", "outcome=\"failed\""));
    }

    [Fact]
    public async Task Pull_OwnerCutOffInTheMiddleAndConnectedAgain_AllPullsFinish()
    {
        var victim = FindNode(isOwner: true);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var others = StartPulls(deadline.Token, except: victim);
        var cutOff = _pullers[victim].PullUntilDoneAsync(deadline.Token);

        await HasATenthAsync(victim);
        await _hosts[victim].UnplugAsync();
        await DemandAsync(others);
        Assert.False(cutOff.IsCompleted);
        await _hosts[victim].PlugInAsync();

        await cutOff;
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Pull_NodeCutOffForAMoment_NoPullFails(bool isOwner)
    {
        var victim = FindNode(isOwner);
        using var deadline = new CancellationTokenSource(PullTimeout);
        var pulls = StartPulls(deadline.Token);

        await HasATenthAsync(victim);
        Assert.False(pulls[victim].IsCompleted);
        await _hosts[victim].UnplugAsync();
        await Task.Delay(TimeSpan.FromSeconds(1), deadline.Token);
        await _hosts[victim].PlugInAsync();

        await DemandAsync(pulls);
    }

    // The node that coordinates the largest layer, or one that coordinates no content at all if there is one.
    private int FindNode(bool isOwner)
    {
        int[] owners = [.. _image.Layers.OrderByDescending(layer => layer.Size).Select(layer => Array.IndexOf(_nodes, PeerdNode.FindOwner(_nodes, layer.Digest)))];
        return isOwner ? owners[0] : Enumerable.Range(0, Nodes).OrderBy(i => Array.IndexOf([.. owners.Reverse()], i)).First();
    }

    private Task<string?>[] StartPulls(CancellationToken cancellationToken, int? except = null) =>
        [.. _pullers.Where((_, i) => i != except).Select(puller => puller.PullAsync(cancellationToken))];

    private Task HasATenthAsync(int node) => Wait.UntilAsync(
        $"{_nodes[node].Name} has received a tenth of the image",
        _nodes[node].Process,
        async () => (await _hosts[node].ReadTrafficAsync()).ReceivedBytes > _image.All.Sum(part => part.Size) / 10,
        PullTimeout);

    private static async Task DemandAsync(IEnumerable<Task<string?>> pulls) => Assert.All(await Task.WhenAll(pulls), Assert.Null);
}
