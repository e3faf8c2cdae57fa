using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Commands;

/// <summary>
/// <c>peerd demo</c> as a newcomer runs it. Alone on the machine (<c>test.sh</c> knows this trait): sixteen nodes in one
/// process read more than once when they wait for the processor.
/// </summary>
[Trait("Machine", "alone")]
public sealed class DemoTests : LabTest
{
    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(16)]
    public async Task Demo_SomeNodes_EachByteLeavesTheOriginOnce(int nodes)
    {
        var result = await PeerdCommand.RunJsonAsync(Lab, "demo", "--nodes", $"{nodes}", "--size", "32MiB", "--json");

        Assert.Equal(nodes, result["nodes"]!.GetValue<int>());
        Assert.Equal(nodes, result["perNode"]!.AsArray().Count);
        Assert.InRange(result["imageBytes"]!.GetValue<long>(), 32 << 20, 34 << 20);
        Assert.InRange(result["amplification"]!.GetValue<double>(), 0.99, 1.05);
        Assert.InRange(result["originBytes"]!.GetValue<long>(), 32 << 20, 36 << 20);
    }

    [Fact]
    public async Task Demo_OutputIsNoTerminal_PrintsPlainLines()
    {
        var process = await PeerdCommand.RunAsync(Lab, "demo", "--nodes", "2", "--size", "4MiB");

        Assert.True(process.ExitCode == 0, process.Tail());
        Assert.DoesNotContain(process.Output, line => line.Contains('\e', StringComparison.Ordinal));
        Assert.Contains(process.Output, line => line.Contains("amplification", StringComparison.OrdinalIgnoreCase));
    }

    [Theory]
    [InlineData("--nodes", "0")]
    [InlineData("--nodes", "17")]
    [InlineData("--size", "much")]
    public async Task Demo_BadArgument_IsRefused(string option, string value)
    {
        var process = await PeerdCommand.RunAsync(Lab, "demo", option, value);

        Assert.Equal(2, process.ExitCode);
        Assert.Contains(process.Errors, line => line.Contains(option, StringComparison.Ordinal));
    }
}
