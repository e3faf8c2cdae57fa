using System.Net;
using System.Net.Sockets;
using Peerd.Node.Cli;

namespace Peerd.Tests.Cli;

/// <summary>Starts that fail at the listeners.</summary>
public sealed class ServeCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-serve-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    [Theory]
    [InlineData("Facade")]
    [InlineData("Mesh")]
    [InlineData("Metrics")]
    public async Task Serve_AddressOfAnotherMachine_SaysKeyAndAddressInOneLine(string listener)
    {
        // For documentation only: no machine has it.
        const string Address = "192.0.2.1:30001";

        var (exitCode, error) = await RunAsync(listener, Address);

        Assert.Equal(ExitCode.Failure, exitCode);
        Assert.Matches($@"^peerd: Peerd:{listener}:Listen is '{Address}', where this node cannot listen: .+\n$", error);
    }

    [Fact]
    public async Task Serve_PortInUse_SaysKeyAndAddressInOneLine()
    {
        using var occupant = new TcpListener(IPAddress.Loopback, 0);
        occupant.Start();

        var (exitCode, error) = await RunAsync("Mesh", $"{occupant.LocalEndpoint}");

        Assert.Equal(ExitCode.Failure, exitCode);
        Assert.Matches($@"^peerd: Peerd:Mesh:Listen is '{occupant.LocalEndpoint}', where this node cannot listen: .+\n$", error);
    }

    private async Task<(int ExitCode, string Error)> RunAsync(string listener, string address)
    {
        using var patience = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        await using var output = new StringWriter();
        await using var error = new StringWriter { NewLine = "\n" };
        string[] free = [.. new[] { "Facade", "Mesh", "Metrics" }.Where(other => other != listener).Select(other => $"--Peerd:{other}:Listen=127.0.0.1:0")];
        var exitCode = await PeerdCommand.InvokeAsync(
            ["serve", $"--Peerd:{listener}:Listen={address}", .. free, $"--Peerd:Cache:Directory={_folder.FullName}", "--Peerd:Log:Level=Critical"], output, error, patience.Token);
        return (exitCode, error.ToString());
    }
}
