using System.CommandLine;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Node.Cli;

/// <summary><c>peerd configure</c>: leads the clients of this machine to the facade, or takes that out again.</summary>
internal static class ConfigureCommand
{
    public static Command Create()
    {
        var command = new Command("configure", "Lead a client on this machine to the facade, or take that out again.") { CreateOverlaybd() };

        // With an action of its own it does not complain of a missing client when the client is a wrong one.
        command.SetAction(async (parsed, _) =>
        {
            await parsed.InvocationConfiguration.Error.WriteLineAsync($"peerd: configure what? Allowed: {string.Join(", ", command.Subcommands.Select(client => client.Name))}");
            await parsed.InvocationConfiguration.Error.WriteLineAsync("Try 'peerd configure --help'.");
            return ExitCode.BadArguments;
        });
        return command;
    }

    private static Command CreateOverlaybd()
    {
        var remove = new Option<bool>("--remove") { Description = "Take out what this command has set, and bring back what was there before." };
        var file = CommonOptions.OverlaybdFile("--file");
        var address = new Option<string>("--address")
        {
            Description = "Where the facade of this node serves overlaybd.",
            HelpName = "URL",
            DefaultValueFactory = _ => OverlaybdAddress.Default,
        };
        address.Validators.Add(result =>
        {
            if (result.Tokens is [{ Value: var text }] && OverlaybdAddress.Of(text).Fault is { } fault)
            {
                result.AddError($"--address is '{OverlaybdAddress.Shown(text)}': {fault}; allowed: http://localhost:<port>{OverlaybdAddress.FacadePath}");
            }
        });
        var json = CommonOptions.Json();
        var command = new Command("overlaybd", "Have overlaybd read through the facade: edits p2pConfig in its settings.") { remove, file, address, json };
        command.SetAction((parsed, _) => RunAsync(
            parsed.GetRequiredValue(file),
            parsed.GetRequiredValue(address),
            parsed.GetValue(remove),
            Report.For(parsed.InvocationConfiguration),
            parsed.GetValue(json),
            parsed.InvocationConfiguration.Error));
        return command;
    }

    private static async Task<int> RunAsync(string path, string address, bool remove, Report report, bool json, TextWriter errors)
    {
        if (!OperatingSystem.IsLinux())
        {
            await errors.WriteLineAsync("peerd configure: overlaybd runs on Linux only");
            return ExitCode.Failure;
        }

        try
        {
            var configuration = new OverlaybdConfiguration(new OverlaybdFile(path));
            var change = remove ? configuration.Remove(address) : configuration.Configure(address);
            if (json)
            {
                report.Json(OverlaybdReport.Of(change), OverlaybdReportJson.Plain.OverlaybdReport);
            }
            else
            {
                OverlaybdReport.Show(change, remove, report);
            }

            return ExitCode.Success;
        }
        catch (OverlaybdException exception)
        {
            await errors.WriteLineAsync($"peerd configure: {exception.Message}");
            return ExitCode.Failure;
        }
    }
}
