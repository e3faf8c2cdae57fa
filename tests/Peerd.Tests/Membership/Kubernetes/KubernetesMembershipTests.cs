using System.Diagnostics;
using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>The nodes of a cluster as members, read from an API server that does what real ones do.</summary>
public sealed class KubernetesMembershipTests : IAsyncLifetime
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-members-");
    private readonly FakeLogger<KubernetesMembershipSource> _log = new();
    private FakeApiServer _api = null!;

    private string StateFile => Path.Combine(_folder.FullName, "state", "members.json");

    public async ValueTask InitializeAsync()
    {
        _api = await FakeApiServer.StartAsync();
        _api.Set("a", "10.0.0.1", "west");
        _api.Set("b", "fd00::b");
    }

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        await Wait.UntilAsync(IsDeletedAsync, "the folder is deleted");
    }

    [Fact]
    public async Task Watch_NodesComeChangeAndGo_AreTold()
    {
        await using var source = await StartAsync();
        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));

        _api.Set("c", "10.0.0.3", "east");
        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", ""), ("c", "10.0.0.3", "east")));
        _api.Nodes.Bookmark();
        _api.Set("a", "10.0.0.9", "north");
        _api.Nodes.Remove("b");
        await source.UntilAsync(Of(("a", "10.0.0.9", "north"), ("c", "10.0.0.3", "east")));

        Assert.Equal(1, _api.Lists);
    }

    [Fact]
    public async Task Watch_ExcludedOrWithoutAddress_AreNoMembers()
    {
        _api.Set("c", "10.0.0.3", labels: ("peerd-exclude", "true"));
        _api.Set("d", "none");
        await using var source = await StartAsync();

        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", ""), ("d", "fd00::1", "")));
        _api.Set("c", "10.0.0.3", labels: ("peerd-exclude", "false"));

        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", ""), ("c", "10.0.0.3", ""), ("d", "fd00::1", "")));
    }

    [Fact]
    public async Task List_NodesChangeBetweenItsParts_AreNotMissed()
    {
        AddMany(1200);
        _api.PartSent = () =>
        {
            _api.PartSent = null;
            _api.Nodes.Remove("node-0000");
            _api.Nodes.Remove("node-1100");
            _api.Set("new", "10.3.0.1");
        };

        await using var source = await StartAsync();

        await source.UntilAsync(list => list.Members.Count == 1201 && list.IndexOf("node-0000") < 0 && list.IndexOf("node-1100") < 0 && list.IndexOf("new") >= 0);
        Assert.Equal(3, _api.Lists);
    }

    [Fact]
    public async Task List_VersionForgottenBetweenItsParts_BeginsAnew()
    {
        AddMany(1200);
        _api.PartSent = () =>
        {
            _api.PartSent = null;
            _api.Nodes.Compact();
            _api.Nodes.Remove("node-0000");
        };

        await using var source = await StartAsync();

        await source.UntilAsync(list => list.Members.Count == 1201 && list.IndexOf("node-0000") < 0);
        Assert.Equal(5, _api.Lists);
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("{}")]
    [InlineData("{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}")]
    [InlineData("{\"type\":\"ERROR\",\"object\":{\"code\":500,\"message\":\"x\"}}")]
    public async Task Watch_MalformedLine_IsSurvived(string line)
    {
        await using var source = await StartAsync();
        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));

        _api.Nodes.Say(line);
        _api.Nodes.Remove("b");

        await source.UntilAsync(Of(("a", "10.0.0.1", "west")));
    }

    // As a proxy that leaves out where to go on.
    [Fact]
    public async Task List_WithoutEnd_IsGivenUpAndAskedForAgain()
    {
        _api.Nodes.ListsWithoutEnd = true;
        await using var source = await StartAsync();
        await Wait.UntilAsync(() => _log.Collector.GetSnapshot().Any(record => record.Message.Contains("a list without end", StringComparison.Ordinal)), "it is told");

        _api.Nodes.ListsWithoutEnd = false;

        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));
    }

    [Theory]
    [InlineData(403)]
    [InlineData(500)]
    public async Task Watch_ApiServerDown_KeepsTheListAlsoOverARestart(int status)
    {
        await using (var source = await StartAsync())
        {
            await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));
            await Wait.UntilAsync(() => File.Exists(StateFile), "the list is saved");
        }

        _api.Status = status;
        await using var restarted = await StartAsync();
        await restarted.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));
        await Wait.UntilAsync(() => _log.Collector.GetSnapshot().Any(record => record.Message.Contains($"answered {status}", StringComparison.Ordinal)), "it is told");
        Assert.Equal(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")), await restarted.FirstAsync());

        _api.Status = 0;
        _api.Set("c", "10.0.0.3");
        await restarted.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", ""), ("c", "10.0.0.3", "")));
        Assert.Single(_log.Collector.GetSnapshot(), record => record.Level == LogLevel.Warning && record.Message.Contains("cannot be asked", StringComparison.Ordinal));
    }

    // A save that is under way at the end of a source is not waited for, and makes a file.
    private async Task<bool> IsDeletedAsync()
    {
        try
        {
            _folder.Delete(recursive: true);
        }
        catch (IOException)
        {
            await Task.Delay(20);
        }

        _folder.Refresh();
        return !_folder.Exists;
    }

    [Theory]
    [InlineData("nonsense")]
    [InlineData("[{\"Name\":\"../x\",\"Address\":\"10.0.0.1:1\",\"Zone\":\"\"}]")]
    [InlineData("[null]")]
    [InlineData("")]
    public async Task Start_SavedListMakesNoSense_TheNodeIsAlone(string saved)
    {
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(StateFile)!);
        await File.WriteAllTextAsync(StateFile, saved, TestContext.Current.CancellationToken);
        _api.Status = 500;

        await using var source = await StartAsync();

        Assert.Equal(Of(("a", "10.0.0.1", "self")), await source.FirstAsync());
    }

    [Fact]
    public async Task Watch_NobodyIsAMember_KeepsTheList()
    {
        await using var source = await StartAsync();
        await source.UntilAsync(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")));

        _api.Nodes.Remove("a");
        _api.Nodes.Remove("b");
        await Wait.UntilAsync(() => _log.Collector.GetSnapshot().Any(record => record.Message.Contains("None of the 0 nodes", StringComparison.Ordinal)), "it is told");

        Assert.Equal(Of(("a", "10.0.0.1", "west"), ("b", "fd00::b", "")), await source.FirstAsync());
    }

    [Fact]
    public async Task List_FiveThousandNodesWithChurn_AreRead()
    {
        AddMany(5000);
        var clock = Stopwatch.StartNew();
        await using var source = await StartAsync();
        await source.UntilAsync(list => list.Members.Count == 5002);
        TestContext.Current.TestOutputHelper?.WriteLine($"5,002 nodes after {clock.Elapsed.TotalSeconds:0.0} s");
        for (var i = 0; i < 5000; i += 10)
        {
            _api.Nodes.Remove($"node-{i:0000}");
            _api.Set($"new-{i:0000}", $"10.2.{i / 250}.{i % 250}");
        }

        await source.UntilAsync(list => list.Members.Count == 5002 && list.IndexOf("new-4990") >= 0 && list.IndexOf("node-4990") < 0);
        Assert.Equal(11, _api.Lists);
    }

    [Fact]
    public async Task Watch_Selector_OnlyItsNodesAreMembersAsLongAsTheyAre()
    {
        _api.Set("c", "10.0.0.3", labels: ("pool", "a"));
        _api.Set("d", "10.0.0.4", labels: [("pool", "b"), ("type", "virtual-kubelet")]);
        await using var source = await StartAsync(new MembershipOptions { Selector = "pool in (a,b),type!=virtual-kubelet" });
        await source.UntilAsync(Of(("c", "10.0.0.3", "")));

        _api.Set("a", "10.0.0.1", labels: ("pool", "b"));
        await source.UntilAsync(Of(("a", "10.0.0.1", ""), ("c", "10.0.0.3", "")));
        _api.Set("c", "10.0.0.3", labels: ("pool", "c"));
        await source.UntilAsync(Of(("a", "10.0.0.1", "")));
        _api.Set("c", "10.0.0.3", labels: ("pool", "a"));
        await source.UntilAsync(Of(("a", "10.0.0.1", ""), ("c", "10.0.0.3", "")));

        Assert.All(_api.Requests, request => Assert.Contains("labelSelector=pool%20in%20%28a%2Cb%29%2Ctype%21%3Dvirtual-kubelet", request, StringComparison.Ordinal));
        Assert.Equal(1, _api.Lists);
    }

    [Fact]
    public async Task Stop_WhileARequestFails_IsNoFault()
    {
        var token = new LateToken();
        var source = await RunningSource.StartAsync(_api.Url, new MembershipOptions { StateFile = StateFile }, _log, tokens: token);
        await token.Asked.WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);

        await source.DisposeAsync();

        Assert.Equal(TaskStatus.Canceled, source.Execution.Status);
    }

    private static MemberList Of(params (string Name, string Address, string Zone)[] members) =>
        new(members.Select(member => new Member(member.Name, new DnsEndPoint(member.Address, 30001), member.Zone)));

    private void AddMany(int nodes)
    {
        for (var i = 0; i < nodes; i++)
        {
            _api.Set($"node-{i:0000}", $"10.1.{i / 250}.{i % 250}", $"zone-{i % 3}");
        }
    }

    private Task<RunningSource> StartAsync(MembershipOptions? options = null)
    {
        options ??= new MembershipOptions();
        options.StateFile = StateFile;
        return RunningSource.StartAsync(_api.Url, options, _log);
    }
}
