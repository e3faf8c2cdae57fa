using Peerd.Node.Cli;

namespace Peerd.Tests.Cli;

/// <summary>What a command printed and how it ended.</summary>
internal sealed record CommandRun(int ExitCode, string Output, string Error)
{
    /// <summary>The lines of the output.</summary>
    public string[] Lines => Output.TrimEnd('\n').Split('\n');

    public static async Task<CommandRun> OfAsync(params string[] args)
    {
        await using var output = new StringWriter { NewLine = "\n" };
        await using var error = new StringWriter { NewLine = "\n" };
        var exitCode = await PeerdCommand.InvokeAsync(args, output, error);
        return new CommandRun(exitCode, output.ToString(), error.ToString());
    }
}
