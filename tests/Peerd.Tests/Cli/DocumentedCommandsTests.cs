using System.Text.RegularExpressions;
using Peerd.Node.Cli;

namespace Peerd.Tests.Cli;

/// <summary>Commands in the documents are such as the program takes.</summary>
public sealed partial class DocumentedCommandsTests : IDisposable
{
    private const int MatchTimeout = 2000;

    private readonly FileInfo _settings = new(Path.GetTempFileName());

    public void Dispose() => _settings.Delete();

    [Fact]
    public void Documents_Commands_AreTakenByTheProgram()
    {
        var commands = Documents().SelectMany(document => Commands(document.Text).Select(command => (document.Name, Command: command))).ToList();

        Assert.True(commands.Count > 30, $"only {commands.Count} commands were found");
        Assert.All(commands, found =>
        {
            var arguments = found.Command.Replace("node.json", _settings.FullName, StringComparison.Ordinal).Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (arguments is [var verb])
            {
                // Its name, with or without what it needs.
                arguments = [verb, "--help"];
            }

            var errors = PeerdCommand.Create().Parse(arguments).Errors;
            Assert.True(errors.Count == 0, $"{found.Name}: peerd {found.Command}: {string.Join("; ", errors.Select(error => error.Message))}");
        });
    }

    private static IEnumerable<(string Name, string Text)> Documents()
    {
        var root = LayoutTests.RepositoryRoot();
        return Directory.GetFiles(Path.Combine(root, "docs"), "*.md")
            .Concat([Path.Combine(root, "README.md"), Path.Combine(root, "SECURITY.md"), Path.Combine(root, "charts", "peerd", "values.yaml")])
            .Select(path => (Path.GetFileName(path), File.ReadAllText(path)));
    }

    // What is left out, "…", is for the reader.
    private static IEnumerable<string> Commands(string text) =>
        Lines().Matches(text).Concat(Quoted().Matches(text)).Select(match => match.Groups["arguments"].Value.Trim()).Where(arguments => !arguments.Contains('…', StringComparison.Ordinal));

    [GeneratedRegex("""^(\$ )?(sudo )?(kubectl [^\n]* -- )?peerd (?<arguments>[a-z-][^\n#|>]*)""", RegexOptions.ExplicitCapture | RegexOptions.Multiline, MatchTimeout)]
    private static partial Regex Lines();

    [GeneratedRegex("""`(sudo )?peerd (?<arguments>[a-z-][^`\n]*)`""", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Quoted();
}
