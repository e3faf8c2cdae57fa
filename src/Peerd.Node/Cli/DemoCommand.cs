using System.CommandLine;
using System.Text.Json;
using Peerd.Contracts;
using Peerd.Node.Cli.Demo;
using Peerd.Node.Cli.Fetch;
using Spectre.Console;

namespace Peerd.Node.Cli;

/// <summary><c>peerd demo</c>: a whole mesh in one process that pulls a generated image.</summary>
internal static class DemoCommand
{
    public const string Name = "demo";

    public static Command Create() => Create(DemoNodes.StartAsync);

    /// <summary>The command with nodes of the caller's choice.</summary>
    public static Command Create(StartNodes startNodes)
    {
        var nodes = CommonOptions.Number("--nodes", $"How many nodes, 1 to {DemoOptions.MostNodes}.", 5, 1, DemoOptions.MostNodes);
        var size = CommonOptions.Size("--size", "Size of the image.", new ByteSize(64L << 20), new ByteSize(DemoOptions.SmallestSize), new ByteSize(DemoOptions.LargestSize));
        var layers = CommonOptions.Number("--layers", $"Layers of the image, 1 to {DemoOptions.MostLayers}.", 3, 1, DemoOptions.MostLayers);
        var seed = CommonOptions.Number("--seed", "Another seed makes another image.", 1);
        var json = CommonOptions.Json();
        var command = new Command(Name, "Run a mesh on this machine: a registry and some nodes in one process, all pulling one image at the same moment.") { nodes, size, layers, seed, json };
        command.SetAction((parsed, cancellationToken) => RunAsync(
            new DemoOptions(parsed.GetValue(nodes), new GeneratedImageOptions(parsed.GetValue(size).Bytes, parsed.GetValue(layers), unchecked((ulong)parsed.GetValue(seed)))),
            startNodes,
            parsed.GetValue(json),
            parsed.InvocationConfiguration.Output,
            parsed.InvocationConfiguration.Error,
            cancellationToken));
        return command;
    }

    private static async Task<int> RunAsync(DemoOptions options, StartNodes startNodes, bool json, TextWriter output, TextWriter errors, CancellationToken cancellationToken)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!json)
        {
            await output.WriteLineAsync($"Pulling an image of {new ByteSize(options.Image.Size).ToRoundedText()} in {options.Image.Layers} layers on {options.Nodes} nodes at the same moment");
        }

        DemoReport report;
        try
        {
            var view = json ? new SilentView(TimeProvider.System) : ProgressView.For(console, TimeProvider.System);
            report = await new DemoRun(options, startNodes, view, TimeProvider.System).RunAsync(cancellationToken);
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await errors.WriteLineAsync("peerd demo: stopped");
            return ExitCode.Stopped;
        }
        catch (Exception exception)
        {
            // The nodes are whole programs: whatever keeps one from starting ends here as one line.
            await errors.WriteLineAsync($"peerd demo: {exception.Message}");
            return ExitCode.Failure;
        }

        if (json)
        {
            await output.WriteLineAsync(JsonSerializer.Serialize(report, DemoReportJson.Default.DemoReport));
        }
        else
        {
            DemoTable.Write(console, report);
        }

        foreach (var node in report.PerNode.Where(node => !node.Ok))
        {
            await errors.WriteLineAsync($"peerd demo: {node.Node}: {node.Error}");
        }

        return report.Ok ? ExitCode.Success : ExitCode.Failure;
    }
}
