using System.CommandLine;
using Peerd.Contracts;
using Peerd.Node.Cli.Fetch;

namespace Peerd.Node.Cli;

/// <summary><c>peerd fetch</c>: pulls an image or a blob through the local node.</summary>
internal static class FetchCommand
{
    public static Command Create()
    {
        var target = new Argument<FetchTarget>("image")
        {
            Description = "Image reference (alpine, registry.example:5000/team/app:v1, …@sha256:…), or URL of a registry blob (https://<registry>/v2/<repository>/blobs/<digest>).",
            CustomParser = result =>
            {
                if (!FetchTarget.TryParse(result.Tokens[0].Value, out var parsed, out var error))
                {
                    result.AddError(error);
                }

                return parsed;
            },
        };
        var output = new Option<string?>("--output", "-o")
        {
            Description = "Where to write: an OCI image layout folder, of a blob URL a file. Without it the bytes are only verified.",
            HelpName = "path",
        };
        var facade = CommonOptions.HttpAddress("--facade", "The facade of the node to pull through; unless it is given, that of the settings.");
        var access = new NodeAccessOptions("--node", "The mesh listener of that node, to be given with --facade; it is asked where the bytes came from.");
        var platform = new Option<Platform>("--platform")
        {
            Description = "Which image of an index, for example linux/arm64 [default: linux on the architecture of this machine].",
            HelpName = "os/architecture[/variant]",
            CustomParser = result =>
            {
                if (!Platform.TryParse(result.Tokens[0].Value, out var parsed))
                {
                    result.AddError($"--platform is '{result.Tokens[0].Value}'; allowed: os/architecture[/variant], such as linux/amd64");
                }

                return parsed;
            },
        };
        var json = CommonOptions.Json();
        var command = new Command("fetch", "Pull one image or blob through a node, verify it, and tell where its bytes came from.") { target, output, facade, access.Address, access.Config, platform, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            if (await access.ReadFacadeAsync(parsed, facade) is not { } facadeAddress)
            {
                return ExitCode.BadArguments;
            }

            // The settings are those of this machine's node, whose numbers say nothing about another one's facade.
            var isAsked = parsed.GetValue(facade) is null || parsed.GetValue(access.Address) is not null;
            var node = isAsked ? await access.ReadAsync(parsed) : null;
            return isAsked && node is null
                ? ExitCode.BadArguments
                : await RunAsync(
                    new FetchOptions(
                        parsed.GetRequiredValue(target),
                        parsed.GetValue(output) is { } path ? Path.GetFullPath(path) : null,
                        facadeAddress,
                        node,
                        parsed.GetValue(platform) ?? Platform.Local),
                    parsed.GetValue(json),
                    Report.For(parsed.InvocationConfiguration),
                    parsed.InvocationConfiguration.Error,
                    cancellationToken);
        });
        return command;
    }

    private static async Task<int> RunAsync(FetchOptions options, bool json, Report screen, TextWriter errors, CancellationToken cancellationToken)
    {
        if (options.OutputFault is { } fault)
        {
            await errors.WriteLineAsync($"peerd fetch: {fault}");
            return ExitCode.BadArguments;
        }

        if (!json)
        {
            screen.Line($"Fetching {options.Target} through {options.Facade.GetLeftPart(UriPartial.Authority)}");
        }

        FetchReport report;
        try
        {
            var view = json ? new SilentView(TimeProvider.System) : ProgressView.For(screen, TimeProvider.System);
            report = await new FetchRun(options, view, TimeProvider.System).RunAsync(cancellationToken);
        }
        catch (OperationCanceledException)
        {
            await errors.WriteLineAsync("peerd fetch: stopped");
            return ExitCode.Stopped;
        }

        if (json)
        {
            screen.Json(report, FetchReportJson.Plain.FetchReport);
        }
        else if (report.Ok)
        {
            Show(screen, report, options);
        }

        if (!report.Ok)
        {
            await errors.WriteLineAsync($"peerd fetch: {report.Error}");
        }

        return report.Ok ? ExitCode.Success : ExitCode.Failure;
    }

    private static void Show(Report screen, FetchReport report, FetchOptions options)
    {
        screen.Line($"{report.Digest}: {new ByteSize(report.Bytes).ToRoundedText()} in {report.Seconds:0.00} s, every digest is right");
        screen.Line(report.Sources is { } sources
            ? $"From origin {new ByteSize(sources.OriginBytes).ToRoundedText()}, from peers {new ByteSize(sources.PeerBytes).ToRoundedText()}, from cache {new ByteSize(sources.CacheBytes).ToRoundedText()}"
            : $"Where it came from is unknown: {(options.Node is null ? "with --facade, give also the mesh listener of that node (--node)" : "the node does not tell over gRPC (--node)")}");
        if (report.Output is not null)
        {
            screen.Line($"Written to {report.Output}");
        }
    }
}
