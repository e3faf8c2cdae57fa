using System.CommandLine;
using System.Runtime.Versioning;
using Peerd.Node.Cli.Containerd;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Node.Cli;

/// <summary><c>peerd configure</c>: leads the clients of this machine to the facade, or takes that out again.</summary>
internal static class ConfigureCommand
{
    public static Command Create()
    {
        var command = new Command("configure", "Lead a client on this machine to the facade, or take that out again.") { CreateContainerd(), CreateOverlaybd() };

        // With an action of its own it does not complain of a missing client when the client is a wrong one.
        command.SetAction(async (parsed, _) =>
        {
            await parsed.InvocationConfiguration.Error.WriteLineAsync($"peerd: configure what? Allowed: {string.Join(", ", command.Subcommands.Select(client => client.Name))}");
            await parsed.InvocationConfiguration.Error.WriteLineAsync("Try 'peerd configure --help'.");
            return ExitCode.BadArguments;
        });
        return command;
    }

    private static Command CreateContainerd()
    {
        var remove = new Option<bool>("--remove") { Description = "Take out what this command has written, for all registries or for those of --registry and --default." };
        var prune = new Option<bool>("--prune") { Description = "Take out what this command has written for other registries than these (not _default)." };
        var folder = CommonOptions.CertsFolder();
        var config = CommonOptions.Config();
        var mirror = CommonOptions.HttpAddress("--mirror", "The facade of this node. Default: as the node's settings say.");
        var registries = new Option<string[]>("--registry") { Description = "A registry to be read through the facade; may be repeated. Default: those of the node's settings.", HelpName = "[http://]host[:port]" };
        var all = new Option<bool>("--default") { Description = "All other registries, too (_default). The node answers 404 for those that it does not know." };
        var force = new Option<bool>("--force") { Description = "Put the facade into a _default that is somebody else's." };
        var json = CommonOptions.Json();
        var command = new Command("containerd", "Have containerd pull through the facade: writes hosts.toml for each registry.") { remove, prune, folder, config, mirror, registries, all, force, json };
        command.SetAction(async (parsed, _) =>
        {
            var errors = parsed.InvocationConfiguration.Error;
            if (!OperatingSystem.IsLinux())
            {
                await errors.WriteLineAsync("peerd configure: containerd's folder is edited on Linux only");
                return ExitCode.Failure;
            }

            try
            {
                var certs = new CertsFolder(parsed.GetRequiredValue(folder), text => Warn(errors, text));
                var names = parsed.GetValue(registries) ?? [];
                var report = new HostsReport(parsed.GetValue(remove)
                    ? Remove(certs, names, parsed.GetValue(all))
                    : Configure(certs, NodeSettings.Read(parsed.GetValue(config)), parsed.GetValue(mirror), names, parsed.GetValue(all), parsed.GetValue(force), parsed.GetValue(prune)));
                if (parsed.GetValue(json))
                {
                    Report.For(parsed.InvocationConfiguration).Json(report, HostsReportJson.Plain.HostsReport);
                }
                else
                {
                    report.Show(Report.For(parsed.InvocationConfiguration));
                }

                return report.Changes.Any(change => change.Result == "failed") ? ExitCode.Failure : ExitCode.Success;
            }
            catch (HostsException exception)
            {
                await errors.WriteLineAsync($"peerd configure: {exception.Message}");
                return ExitCode.Failure;
            }
        });
        return command;
    }

    private static void Warn(TextWriter errors, string text) => errors.WriteLine($"peerd configure: {text}");

    [SupportedOSPlatform("linux")]
    private static IReadOnlyList<HostsChange> Remove(CertsFolder certs, string[] names, bool all)
    {
        var folders = FoldersOf(names.Select(Find));
        if (all)
        {
            folders.Add(ConfiguredRegistry.Default);
        }

        return certs.Remove(folder => folders.Count == 0 || folders.Contains(folder));
    }

    [SupportedOSPlatform("linux")]
    private static List<HostsChange> Configure(CertsFolder certs, NodeSettings node, Uri? mirror, string[] names, bool all, bool force, bool prune)
    {
        var host = new MirrorHost(mirror?.GetLeftPart(UriPartial.Authority) ?? node.Mirror);
        List<ConfiguredRegistry> registries =
        [
            .. names.Length == 0 ? node.Registries : names.Select(name => node.Registries.FirstOrDefault(known => known.Name == name) ?? Find(name)),
            .. all ? [new ConfiguredRegistry(ConfiguredRegistry.Default, null)] : (ConfiguredRegistry[])[],
        ];
        var changes = registries.ConvertAll(registry => certs.Configure(registry, host, force));
        if (prune)
        {
            // _default is no registry of a list.
            var kept = FoldersOf(registries);
            changes.AddRange(certs.Remove(folder => folder != ConfiguredRegistry.Default && !kept.Contains(folder)));
        }

        return changes;
    }

    [SupportedOSPlatform("linux")]
    private static HashSet<string> FoldersOf(IEnumerable<ConfiguredRegistry> registries) =>
        registries.SelectMany(registry => CertsFolder.NamesOf(registry.Name)).ToHashSet(StringComparer.Ordinal);

    private static ConfiguredRegistry Find(string name) => NodeSettings.Find(name)
        ?? throw new HostsException($"--registry is '{name}'; allowed: host, host:port, or either behind http:// or https://, in lower case");

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
            var configuration = new OverlaybdConfiguration(new OverlaybdFile(path), text => Warn(errors, text));
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
