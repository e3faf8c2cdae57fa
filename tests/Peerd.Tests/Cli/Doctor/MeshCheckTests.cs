using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts.V1;
using Peerd.Node.Cli;
using Peerd.Node.Cli.Doctor;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Tests.Cli.Doctor;

/// <summary>doctor asks this node and others, which are fakes.</summary>
public sealed class MeshCheckTests : IAsyncLifetime
{
    private FakeNode _own = null!;
    private FakeNode _other = null!;

    public async ValueTask InitializeAsync()
    {
        (_own, _other) = (await FakeNode.StartAsync(), await FakeNode.StartAsync());
        _own.Status = _ => Task.FromResult(StatusOf("n1", "ring-1", 0));
        _other.Status = _ => Task.FromResult(StatusOf("n2", "ring-1", 0));
        _own.Peers.Peers.Add(new Peer { Node = "n2", Address = new Uri(_other.Address).Authority });
    }

    public async ValueTask DisposeAsync()
    {
        await _own.DisposeAsync();
        await _other.DisposeAsync();
    }

    [Fact]
    public async Task Doctor_AllAgree_IsFine() => Assert.Contains("n1 and 1 of 1 others reach each other", (await RunAsync(0)).Output, StringComparison.Ordinal);

    [Theory]
    [InlineData("n2", "ring-2", 0, 0, "n2 sees 2 members, n1 sees 2, or others", "wait a minute; if it stays, compare 'peerd ring' on both")]
    [InlineData("n2", "ring-1", 60, 0, "the clock of n2 is 60 s ahead of", "set both by NTP")]
    [InlineData("n2", "ring-1", -60, 0, "the clock of n2 is 60 s behind", "set both by NTP")]
    [InlineData("n3", "ring-1", 0, 1, "n3 answers at", "correct the address on the list of members")]
    public async Task Doctor_TheyDiffer_IsToldWithWhatToDo(string name, string ring, int skew, int exitCode, string expected, string advice)
    {
        _other.Status = _ => Task.FromResult(StatusOf(name, ring, skew));

        var lines = (await RunAsync(exitCode)).Lines;

        var found = Array.FindIndex(lines, line => line.Contains(expected, StringComparison.Ordinal));
        Assert.True(found >= 0, string.Join('\n', lines));
        Assert.StartsWith($"         to do: {advice}", lines[found + 1], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, true)]
    [InlineData(20, true)]
    [InlineData(1, false)]
    public async Task Doctor_BlobsOfSomeHostsAreNotShared_IsToldWithWhatToDo(int hosts, bool hasOthers)
    {
        string[] names = [.. Enumerable.Range(1, hosts).Select(i => $"account{i:00}.test")];
        _own.Status = _ =>
        {
            var status = StatusOf("n1", "ring-1", 0);
            status.RefusedBlobHosts.AddRange(names.Select(name => $"no-{name}"));
            status.UnsharedBlobHosts.AddRange(names);
            status.UnsharedUrlHosts.AddRange(names.Select(name => $"some-{name}"));
            return Task.FromResult(status);
        };
        if (!hasOthers)
        {
            _own.Peers.Peers.Clear();
        }

        var lines = (await RunAsync(0)).Lines;

        var told = hosts == 1 ? "account01.test" : "account01.test, account02.test, account03.test, account04.test, account05.test, account06.test, account07.test, account08.test and 12 more";
        AssertFound($"n1 was asked for blobs of {told.Replace("account", "no-account", StringComparison.Ordinal)}, not on its list of hosts", "list in Peerd:Blobs:MoreHosts what");
        AssertFound($"n1 reads blobs of {told} for each container", "let the registry keep them at a host of its own, and list that in Peerd:Blobs:MoreHosts");
        AssertFound($"n1 reads some blobs of {told.Replace("account", "some-account", StringComparison.Ordinal)} for each container", "see the log of n1");

        void AssertFound(string expected, string toDo)
        {
            var found = Array.FindIndex(lines, line => line.StartsWith("warning", StringComparison.OrdinalIgnoreCase) && line.Contains(expected, StringComparison.Ordinal));
            Assert.True(found >= 0, string.Join('\n', lines));
            Assert.StartsWith($"         to do: {toDo}", lines[found + 1], StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task Doctor_AlmostAllDiffer_SomeAreToldAndThatItMayBeThisNode()
    {
        _other.Status = _ => Task.FromResult(StatusOf("n3", "ring-1", 0));
        for (var i = 0; i < 40; i++)
        {
            _own.Peers.Peers.Add(new Peer { Node = $"m{i}", Address = new Uri(_other.Address).Authority });
        }

        var run = await RunAsync(1);

        Assert.Equal(32, run.Lines.Count(line => line.Contains("n3 answers at", StringComparison.Ordinal)));
        Assert.Contains("there are 9 more findings", run.Output, StringComparison.Ordinal);
        Assert.Contains("see to n1", run.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_OnlyTheLastOfManyDiffers_IsTold()
    {
        var others = await Task.WhenAll(Enumerable.Range(0, 20).Select(_ => FakeNode.StartAsync()));
        for (var i = 0; i < others.Length; i++)
        {
            var name = $"m{i}";
            var ring = i == others.Length - 1 ? "ring-2" : "ring-1";
            others[i].Status = _ => Task.FromResult(StatusOf(name, ring, 0));
            _own.Peers.Peers.Add(new Peer { Node = name, Address = new Uri(others[i].Address).Authority });
        }

        var run = await RunAsync(0);

        Assert.Contains("m19 sees 2 members", run.Output, StringComparison.Ordinal);
        Assert.Single(run.Lines, line => line.StartsWith("warning", StringComparison.Ordinal));
        foreach (var other in others)
        {
            await other.DisposeAsync();
        }
    }

    [Fact]
    public async Task Doctor_AnotherNeverAnswers_EndsAndTellsWhatItKnows()
    {
        // Ahead, so that the patience with one, which the system's clock ends, is not over first.
        var time = new FakeTimeProvider(TimeProvider.System.GetUtcNow().AddHours(1));
        await using var silent = await FakeNode.StartAsync();
        var isAsked = new TaskCompletionSource();
        silent.Status = async stop =>
        {
            isAsked.SetResult();
            await Task.Delay(Timeout.Infinite, stop);
            return new GetStatusResponse();
        };
        _own.Peers.Peers.Add(new Peer { Node = "n9", Address = new Uri(silent.Address).Authority });

        var running = new MeshCheck(new NodeAccess(new Uri(_own.Address), MeshTls.Off), time).RunAsync(TestContext.Current.CancellationToken);
        await isAsked.Task;
        time.Advance(MeshCheck.PatienceForAll);

        Assert.Contains(await running, finding => finding.Seen.Contains("of 2 others had not answered after 30 s", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Doctor_AnotherIsDown_IsAWarning()
    {
        _own.Peers.Peers.Add(new Peer { Node = "n9", Address = "127.0.0.1:1" });

        Assert.Contains("n9 does not answer at 127.0.0.1:1 (Unavailable)", (await RunAsync(0)).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_Alone_IsAWarning()
    {
        _own.Peers.Peers.Clear();

        Assert.Contains("n1 is alone", (await RunAsync(0)).Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Doctor_NodeIsDown_IsAnError()
    {
        var run = await CommandRun.OfAsync("doctor", "--check", "mesh", "--node", "http://127.0.0.1:1");

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("no node answers at http://127.0.0.1:1", run.Output, StringComparison.Ordinal);
    }

    private static GetStatusResponse StatusOf(string node, string ring, int skew) =>
        new() { Node = node, RingVersion = ring, Members = 2, TimeUnixMs = TimeProvider.System.GetUtcNow().AddSeconds(skew).ToUnixTimeMilliseconds() };

    private async Task<CommandRun> RunAsync(int exitCode)
    {
        var run = await CommandRun.OfAsync("doctor", "--check", "mesh", "--node", _own.Address);
        Assert.Equal(exitCode, run.ExitCode);
        return run;
    }
}
