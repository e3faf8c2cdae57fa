using System.CommandLine;

namespace Peerd.Node.Cli;

/// <summary>
/// <c>peerd started</c>: whether the process that was told to make this file listens, for probes that another process of the node could
/// answer, and in an image that has no other program.
/// </summary>
internal static class StartedCommand
{
    public static Command Create()
    {
        var file = new Argument<string>("file") { Description = "Handover:StartedFile of the process." };
        var command = new Command("started", "Ask whether a process listens, by the file that it makes then.") { file };
        command.SetAction(parsed =>
        {
            if (File.Exists(parsed.GetRequiredValue(file)))
            {
                return ExitCode.Success;
            }

            parsed.InvocationConfiguration.Error.WriteLine("peerd: not started");
            return ExitCode.Failure;
        });
        return command;
    }
}
