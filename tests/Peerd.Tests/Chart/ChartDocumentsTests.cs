using System.Text.RegularExpressions;

namespace Peerd.Tests.Chart;

/// <summary>What the documents say to helm is true of the chart: names of values, commands, and files of values.</summary>
public sealed partial class ChartDocumentsTests
{
    private const int MatchTimeout = 2000;

    private static readonly (string Name, string Text)[] Documents =
    [
        .. Directory.GetFiles(Path.Combine(LayoutTests.RepositoryRoot(), "docs"), "*.md")
            .Concat([Path.Combine(LayoutTests.RepositoryRoot(), "README.md"), Path.Combine(LayoutTests.RepositoryRoot(), "SECURITY.md")])
            .Select(path => (Path.GetFileName(path), File.ReadAllText(path))),
    ];

    [Fact]
    public void Documents_NamesOfValues_AreThoseOfTheChart()
    {
        var values = ChartValues.Read();
        string[] known = [.. values.Values.Select(value => value.Path), .. values.Sections];

        // Spans have names of the same form.
        var named = Documents.Where(document => document.Name != "tracing.md").SelectMany(document => ValueName.Matches(document.Text).Select(match => (document.Name, match.Groups["name"].Value))).ToList();

        Assert.True(named.Count > 60, $"only {named.Count} names were found");
        Assert.DoesNotContain(named, name => !known.Contains(name.Value));
    }

    [Fact]
    public async Task Documents_HelmCommands_RenderAndKeepWhatWasSet()
    {
        var commands = Documents.SelectMany(document => HelmCommands.Of(document.Text).Select(command => (document.Name, command))).ToList();

        Assert.True(commands.Count >= 6, $"only {commands.Count} commands were found");
        foreach (var (document, command) in commands)
        {
            // Else --set takes back what was set before, the image, too.
            Assert.True(command.StartsWith("helm install", StringComparison.Ordinal) || command.Contains(" --reset-then-reuse-values ", StringComparison.Ordinal), $"{document}: {command}");
            var run = await ChartTool.HelmAsync(["template", "peerd", ChartTool.Chart, .. Setting.Matches(command).SelectMany(match => new[] { "--set", match.Groups["setting"].Value })]);
            Assert.True(run.ExitCode == 0, $"{document}: {command}: {run.Error}");
        }
    }

    [Theory]
    [InlineData("helm install a b --set c=d\n", "helm install a b --set c=d")]
    [InlineData("1. Then:\n\n   ```sh\n   helm upgrade a b \\\n     --set c=d\n   ```\n", "helm upgrade a b \\\n     --set c=d")]
    [InlineData("```console\n$ helm install a b\nNAME: a\n```\n", "helm install a b")]
    [InlineData("\t$  helm upgrade a b\n", "helm upgrade a b")]
    [InlineData("> helm upgrade a b\n", "helm upgrade a b")]
    [InlineData("With helm install it is there, and `helm upgrade` changes it.\n", null)]
    public void HelmCommands_OfADocument_AreFoundWhereverTheyBegin(string document, string? command) =>
        Assert.Equal(command is null ? [] : [command], HelmCommands.Of(document));

    [Fact]
    public async Task Documents_FilesOfValues_Render()
    {
        var files = Documents.SelectMany(document => ValuesFile.Matches(document.Text).Select(match => (document.Name, match.Groups["values"].Value))).ToList();

        Assert.True(files.Count >= 2, $"only {files.Count} files were found");
        foreach (var (document, values) in files)
        {
            var file = Path.GetTempFileName();
            try
            {
                await File.WriteAllTextAsync(file, values, TestContext.Current.CancellationToken);
                var run = await ChartTool.HelmAsync("template", "peerd", ChartTool.Chart, "--values", file);
                Assert.True(run.ExitCode == 0, $"{document}: {run.Error}");
            }
            finally
            {
                File.Delete(file);
            }
        }
    }

    // In backquotes, alone or with what it is set to. Below peerd.settings are the settings of the program.
    [GeneratedRegex("`(?<name>peerd(\\.(?!settings)[a-zA-Z]+)+)(=[^`]*)?`", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex ValueName { get; }

    [GeneratedRegex(@"--set (?<setting>\S+)", RegexOptions.ExplicitCapture, MatchTimeout)]
    private static partial Regex Setting { get; }

    [GeneratedRegex(@"^```yaml\n(?<values>(#.*\n)?peerd:\n(.*\n)*?)```$", RegexOptions.ExplicitCapture | RegexOptions.Multiline, MatchTimeout)]
    private static partial Regex ValuesFile { get; }
}
