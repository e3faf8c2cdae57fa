using System.CommandLine;
using System.Diagnostics;
using Peerd.EndToEnd.Harness;
using CommonOptions = Peerd.Node.Cli.CommonOptions;

namespace Peerd.Benchmarks.Start;

/// <summary>What the caller of the benchmark may choose.</summary>
/// <param name="Program">The native program; null for the one that is to be published first.</param>
/// <param name="Idle">How long a node does nothing before its memory is looked at.</param>
internal sealed record StartSettings(string? Program, TimeSpan Idle)
{
    private const int UsualIdle = 5;
    private const int MostIdle = 3600;

    private static readonly Option<string?> ProgramOption = new("--program")
    {
        Description = "The native program; without it the one of PEERD_PROGRAM, else scripts/publish-native.sh makes it.",
        HelpName = "file",
    };

    private static readonly Option<int> IdleOption = CommonOptions.Number("--idle", "Seconds without work before memory is looked at.", UsualIdle, 1, MostIdle);

    public static IReadOnlyList<Option> Options => [ProgramOption, IdleOption];

    public static StartSettings From(ParseResult arguments) => new(
        arguments.GetValue(ProgramOption) ?? Environment.GetEnvironmentVariable("PEERD_PROGRAM") switch { { Length: > 0 } program => Path.Combine(Repository.Root, program), _ => null },
        TimeSpan.FromSeconds(arguments.GetValue(IdleOption)));

    /// <summary>The native program, made when none was named.</summary>
    /// <exception cref="InvalidOperationException">It cannot be made, or is not there.</exception>
    public async Task<string> FindProgramAsync(Lab lab, Action<string> progress)
    {
        if (Program is { } given)
        {
            return File.Exists(given) ? Path.GetFullPath(given) : throw new InvalidOperationException($"there is no program {given}");
        }

        progress("publishing the native program, which takes minutes when something has changed");
        var started = Stopwatch.GetTimestamp();
        var publishing = await lab.RunAsync("publish", Path.Combine(Repository.Root, "scripts/publish-native.sh"), [], TimeSpan.FromMinutes(20));
        progress($"published within {Stopwatch.GetElapsedTime(started).TotalSeconds:0} s");
        return publishing.ExitCode == 0 && publishing.Output is [.., var program] ? program : throw new InvalidOperationException($"the native program cannot be published.\n{publishing.Tail()}");
    }
}
