using System.CommandLine;
using Peerd.Node.Cli.Doctor;

namespace Peerd.Node.Cli;

/// <summary><c>peerd doctor</c>: looks for what keeps the clients of this machine from using the mesh.</summary>
internal static class DoctorCommand
{
    private const string Containerd = "containerd";
    private const string Overlaybd = "overlaybd";
    private const string Mesh = "mesh";

    private static readonly string[] Names = [Containerd, Overlaybd, Mesh];

    public static Command Create()
    {
        var overlaybdFile = CommonOptions.OverlaybdFile("--overlaybd-file");
        var facade = CommonOptions.HttpAddress("--facade", "The facade of this node; unless it is given, that of the settings.");
        var access = new NodeAccessOptions("--node", "The mesh listener of this node; unless it is given, that of the settings, by https where the mesh has certificates.");
        var certs = CommonOptions.CertsFolder();
        var containerd = new Option<string>("--containerd") { Description = "containerd's program.", HelpName = "file", DefaultValueFactory = _ => "containerd" };
        var containerdFile = new Option<string>("--containerd-file") { Description = "The settings of containerd.", HelpName = "file", DefaultValueFactory = _ => ContainerdConfig.DefaultPath };
        var only = new Option<string[]>("--check") { Description = "Only this check: containerd, overlaybd or mesh; may be repeated.", HelpName = "name" };
        only.AcceptOnlyFromAmong(Names);
        var json = CommonOptions.Json();
        var command = new Command("doctor", "Check how the clients on this machine are set up, and the mesh, and say what to do.") { facade, access.Address, access.Config, containerd, containerdFile, certs, overlaybdFile, only, json };
        command.SetAction(async (parsed, cancellationToken) =>
        {
            // What no check asks for is not read: it may be what the settings do not tell.
            var names = parsed.GetValue(only) is { Length: > 0 } some ? some : Names;
            var checks = new List<DoctorCheck>();
            if (names.Contains(Containerd) || names.Contains(Overlaybd))
            {
                if (await access.ReadFacadeAsync(parsed, facade) is not { } facadeAddress)
                {
                    return ExitCode.BadArguments;
                }

                if (names.Contains(Containerd))
                {
                    checks.Add(new ContainerdCheck(parsed.GetRequiredValue(containerd), parsed.GetRequiredValue(containerdFile), parsed.GetRequiredValue(certs), facadeAddress, TimeProvider.System).RunAsync);
                }

                if (names.Contains(Overlaybd))
                {
                    checks.Add(new OverlaybdCheck(parsed.GetRequiredValue(overlaybdFile), facadeAddress, TimeProvider.System).RunAsync);
                }
            }

            if (names.Contains(Mesh))
            {
                if (await access.ReadAsync(parsed) is not { } node)
                {
                    return ExitCode.BadArguments;
                }

                checks.Add(new MeshCheck(node, TimeProvider.System).RunAsync);
            }

            return await RunAsync(checks, Report.For(parsed.InvocationConfiguration), parsed.GetValue(json), parsed.InvocationConfiguration.Error, cancellationToken);
        });
        return command;
    }

    private static async Task<int> RunAsync(IReadOnlyList<DoctorCheck> checks, Report screen, bool json, TextWriter errors, CancellationToken cancellationToken)
    {
        var findings = new List<Finding>();
        try
        {
            foreach (var check in checks)
            {
                findings.AddRange(await check(cancellationToken));
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            await errors.WriteLineAsync("peerd doctor: stopped");
            return ExitCode.Stopped;
        }

        var report = DoctorReport.Of(findings);
        if (json)
        {
            screen.Json(report, DoctorReportJson.Plain.DoctorReport);
        }
        else
        {
            report.Show(screen);
        }

        return report.Errors == 0 ? ExitCode.Success : ExitCode.Failure;
    }
}
