using System.CommandLine;
using Peerd.Contracts;

namespace Peerd.Node.Cli;

/// <summary>What <c>peerd demo</c> was asked for.</summary>
/// <param name="Nodes">How many nodes, 1 to 16.</param>
/// <param name="Size">Bytes of the image.</param>
/// <param name="Layers">How many layers, at least 1.</param>
/// <param name="Seed">Decides the bytes of the image.</param>
/// <param name="Json">Print one object for programs.</param>
internal sealed record DemoArguments(int Nodes, long Size, int Layers, int Seed, bool Json);

/// <summary><c>peerd demo</c>: a registry and some nodes in one process, all pulling one image at the same moment.</summary>
internal static class DemoCommand
{
    public static Command Create()
    {
        var nodes = new Option<int>("--nodes") { Description = "How many nodes, 1 to 16.", DefaultValueFactory = _ => 5 }.WithRange(1, 16);
        var size = CommonOptions.Size("--size", "Size of the image.", new ByteSize(64 << 20));
        var layers = new Option<int>("--layers") { Description = "How many layers the image has, 1 to 100.", DefaultValueFactory = _ => 3 }.WithRange(1, 100);
        var seed = new Option<int>("--seed") { Description = "Decides the bytes of the image.", DefaultValueFactory = _ => 1 };
        var json = CommonOptions.Json();

        var command = new Command("demo", "Show the mesh at work, with no cluster, no containerd and no network.") { nodes, size, layers, seed, json };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            new DemoArguments(parsed.GetValue(nodes), parsed.GetValue(size).Bytes, parsed.GetValue(layers), parsed.GetValue(seed), parsed.GetValue(json)),
            parsed.InvocationConfiguration,
            cancellationToken));
        return command;
    }

    private static Task<int> RunAsync(DemoArguments arguments, InvocationConfiguration console, CancellationToken cancellationToken) =>
        throw new NotImplementedException();
}
