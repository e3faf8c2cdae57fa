using System.CommandLine;
using System.Text.Json;
using Peerd.Node.Cli.Fetch;
using Spectre.Console;

namespace Peerd.Node.Cli;

/// <summary><c>peerd fetch</c>: pulls an image or a blob through the local node.</summary>
internal static class FetchCommand
{
    public static Command Create()
    {
        var target = new Argument<string>("image") { Description = "Image reference (alpine, registry.example:5000/team/app:v1, …@sha256:…), or URL of a registry blob (https://<registry>/v2/<repository>/blobs/<digest>)." };
        var output = new Option<string?>("--output", "-o") { Description = "Where to write: an OCI image layout folder, of a blob URL a file. Without it the bytes are only verified." };
        var facade = new Option<string>("--facade") { Description = "Facade of the node.", DefaultValueFactory = _ => FetchOptions.DefaultFacade };
        var node = new Option<string>("--node") { Description = "gRPC address of the node, asked where the bytes came from.", DefaultValueFactory = _ => FetchOptions.DefaultNode };
        var platform = new Option<string?>("--platform") { Description = "Which image of an index: <os>/<architecture>[/<variant>]. Default: linux on the architecture of this machine." };
        var json = new Option<bool>("--json") { Description = "Print one JSON object." };
        var command = new Command("fetch", "Pull one image or blob through the local node, verify it, and tell where its bytes came from.") { target, output, facade, node, platform, json };
        command.SetAction((arguments, cancellationToken) =>
        {
            var (text, errors) = (arguments.InvocationConfiguration.Output, arguments.InvocationConfiguration.Error);
            return FetchOptions.TryCreate(arguments.GetValue(target)!, arguments.GetValue(output), arguments.GetValue(facade)!, arguments.GetValue(node)!, arguments.GetValue(platform), out var options, out var error)
                ? RunAsync(options, arguments.GetValue(json), text, errors, cancellationToken)
                : RefuseAsync(errors, error);
        });
        return command;
    }

    private static async Task<int> RunAsync(FetchOptions options, bool json, TextWriter output, TextWriter errors, CancellationToken cancellationToken)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
        if (!json)
        {
            await output.WriteLineAsync($"Fetching {options.Target} through {options.Facade.GetLeftPart(UriPartial.Authority)}");
        }

        FetchReport report;
        try
        {
            var view = json ? new SilentView(TimeProvider.System) : ProgressView.For(console, TimeProvider.System);
            report = await new FetchRun(options, view, TimeProvider.System).RunAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            await errors.WriteLineAsync("peerd fetch: stopped");
            return ExitCodes.Stopped;
        }

        if (json)
        {
            await output.WriteLineAsync(JsonSerializer.Serialize(report, FetchReportJson.Plain.FetchReport));
        }
        else if (report.Ok)
        {
            await WriteAsync(output, report);
        }

        if (!report.Ok)
        {
            await errors.WriteLineAsync($"peerd fetch: {report.Error}");
        }

        return report.Ok ? ExitCodes.Ok : ExitCodes.Failed;
    }

    private static async Task WriteAsync(TextWriter output, FetchReport report)
    {
        await output.WriteLineAsync($"{report.Digest}: {SizeText.Format(report.Bytes)} in {report.Seconds:0.00} s, every digest is right");
        await output.WriteLineAsync(report.Sources is { } sources
            ? $"From origin {SizeText.Format(sources.OriginBytes)}, from peers {SizeText.Format(sources.PeerBytes)}, from cache {SizeText.Format(sources.CacheBytes)}"
            : "Where it came from is unknown: the node does not tell over gRPC (--node)");
        if (report.Output is not null)
        {
            await output.WriteLineAsync($"Written to {report.Output}");
        }
    }

    private static async Task<int> RefuseAsync(TextWriter errors, string error)
    {
        await errors.WriteLineAsync($"peerd fetch: {error}");
        return ExitCodes.BadArguments;
    }
}
