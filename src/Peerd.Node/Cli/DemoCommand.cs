using System.CommandLine;
using System.Text.Json;
using Peerd.Node.Cli.Demo;
using Peerd.Node.Cli.Fetch;
using Spectre.Console;

namespace Peerd.Node.Cli;

/// <summary><c>peerd demo</c>: a whole mesh in one process that pulls a generated image.</summary>
internal static class DemoCommand
{
    public static Command Create() => Create(DemoNodes.StartAsync);

    /// <summary>The command with nodes of the caller's choice.</summary>
    public static Command Create(StartNodes startNodes)
    {
        var nodes = new Option<int>("--nodes") { Description = "How many nodes, 1 to 16.", DefaultValueFactory = _ => 5 };
        var size = new Option<string>("--size") { Description = "Size of the image.", DefaultValueFactory = _ => "64MiB" };
        var layers = new Option<int>("--layers") { Description = "Layers of the image, 1 to 64.", DefaultValueFactory = _ => 3 };
        var seed = new Option<ulong>("--seed") { Description = "Another seed makes another image.", DefaultValueFactory = _ => 1 };
        var json = new Option<bool>("--json") { Description = "Print one JSON object." };
        var command = new Command("demo", "Start a registry and some nodes in this process, have every node pull one image at the same moment, and tell who sent what.") { nodes, size, layers, seed, json };
        command.SetAction((arguments, cancellationToken) =>
        {
            var (output, errors) = (arguments.InvocationConfiguration.Output, arguments.InvocationConfiguration.Error);
            return DemoOptions.TryCreate(arguments.GetValue(nodes), arguments.GetValue(size)!, arguments.GetValue(layers), arguments.GetValue(seed), out var options, out var error)
                ? RunAsync(options, startNodes, arguments.GetValue(json), output, errors, cancellationToken)
                : RefuseAsync(errors, error);
        });
        return command;
    }

    private static async Task<int> RunAsync(DemoOptions options, StartNodes startNodes, bool json, TextWriter output, TextWriter errors, CancellationToken cancellationToken)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!json)
        {
            await output.WriteLineAsync($"Pulling an image of {SizeText.Format(options.Image.Size)} in {options.Image.Layers} layers on {options.Nodes} nodes at the same moment");
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
            return ExitCodes.Stopped;
        }
        catch (Exception exception)
        {
            // The nodes are whole programs: whatever keeps one from starting ends here as one line.
            await errors.WriteLineAsync($"peerd demo: {exception.Message}");
            return ExitCodes.Failed;
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

        return report.Ok ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static async Task<int> RefuseAsync(TextWriter errors, string error)
    {
        await errors.WriteLineAsync($"peerd demo: {error}");
        return ExitCodes.BadArguments;
    }
}
