using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Parsing;

namespace Peerd.Node.Cli;

/// <summary>The command tree <c>peerd &lt;verb&gt;</c>. Stateless.</summary>
internal static class PeerdCommand
{
    /// <summary>Runs what the arguments say and returns the exit code.</summary>
    /// <param name="args">The arguments of the process.</param>
    /// <param name="output">Instead of standard output; for tests.</param>
    /// <param name="error">Instead of standard error; for tests.</param>
    /// <param name="cancellationToken">Stops the command.</param>
    public static async Task<int> InvokeAsync(
        string[] args, TextWriter? output = null, TextWriter? error = null, CancellationToken cancellationToken = default)
    {
        output ??= Console.Out;
        error ??= Console.Error;
        var parsed = Create().Parse(WithVerb(args));
        if (parsed.Errors.Count > 0)
        {
            foreach (var message in parsed.Errors.Select(e => e.Message).Distinct())
            {
                await error.WriteLineAsync($"peerd: {message}");
            }

            await error.WriteLineAsync($"Try '{HelpFor(parsed)}'.");
            return ExitCode.BadArguments;
        }

        return await parsed.InvokeAsync(
            new InvocationConfiguration
            {
                Output = output,
                Error = error,

                ProcessTerminationTimeout = TerminationTimeout(parsed.CommandResult.Command),
            },
            cancellationToken);
    }

    /// <summary>The whole tree.</summary>
    public static RootCommand Create()
    {
        var root = new RootCommand("Peer mesh for container images: what one node has, the others get from it.")
        {
            ServeCommand.Create(),
            DemoCommand.Create(),
            FetchCommand.Create(),
            ProbeCommand.Create(),
            StatusCommand.Create(),
            RingCommand.Create(),
            PeersCommand.Create(),
            ConfigureCommand.Create(),
            DoctorCommand.Create(),
        };

        // Reached by nothing but parser directives; with an action of its own the root does not complain of a
        // missing verb when the verb is a wrong one.
        root.SetAction(parsed => new HelpAction().Invoke(parsed));
        return root;
    }

    /// <summary>Without a verb, nothing or the arguments of serve mean serve.</summary>
    private static string[] WithVerb(string[] args) =>
        args.Length == 0 || ServeCommand.IsArgument(args[0]) ? [ServeCommand.Name, .. args] : args;

    private static TimeSpan? TerminationTimeout(Command command) => command.Name switch
    {
        // Leaves signals to the host, which drains for longer than the parser would wait.
        ServeCommand.Name => null,

        // Stops its nodes and deletes their caches.
        DemoCommand.Name => TimeSpan.FromSeconds(15),
        _ => TimeSpan.FromSeconds(5),
    };

    private static string HelpFor(ParseResult parsed)
    {
        var help = "--help";
        for (var command = parsed.CommandResult; command is { Command: not RootCommand }; command = command.Parent as CommandResult)
        {
            help = $"{command.Command.Name} {help}";
        }

        return $"peerd {help}";
    }
}
