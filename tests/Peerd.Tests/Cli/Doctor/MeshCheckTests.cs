using Peerd.Contracts.V1;

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
    [InlineData("n2", "ring-2", 0, 0, "n2 sees 2 members, n1 sees 2, or others")]
    [InlineData("n2", "ring-1", 60, 0, "the clock of n2 is 60 s ahead of")]
    [InlineData("n2", "ring-1", -60, 0, "the clock of n2 is 60 s behind")]
    [InlineData("n3", "ring-1", 0, 1, "n3 answers at")]
    public async Task Doctor_TheyDiffer_IsTold(string name, string ring, int skew, int exitCode, string expected)
    {
        _other.Status = _ => Task.FromResult(StatusOf(name, ring, skew));

        Assert.Contains(expected, (await RunAsync(exitCode)).Output, StringComparison.Ordinal);
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
