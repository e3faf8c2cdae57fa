using System.Text.RegularExpressions;
using Peerd.Tests.Chart;

namespace Peerd.Tests.Image;

/// <summary>The Dockerfile is read by more than builders of today: what it may say, and what is made of it for other platforms.</summary>
public sealed partial class DockerfileTests
{
    private const int MatchTimeout = 2000;

    private static readonly string Dockerfile = Path.Combine(LayoutTests.RepositoryRoot(), "Dockerfile");

    [Fact]
    public void Bases_OfTheDockerfile_AreUnderstoodByAzAcrBuild()
    {
        var bases = AcrBuilder.Bases(File.ReadLines(Dockerfile));

        Assert.Equal(2, bases.Count);
        Assert.StartsWith("mcr.microsoft.com/dotnet/sdk:", bases[0], StringComparison.Ordinal);
        Assert.StartsWith("mcr.microsoft.com/dotnet/runtime-deps:", bases[1], StringComparison.Ordinal);
    }

    // The reader is able to fail.
    [Theory]
    [InlineData("FROM --platform=$BUILDPLATFORM sdk AS build")]
    [InlineData("FROM --platform=linux/amd64 sdk")]
    [InlineData("FROM sdk AS")]
    [InlineData("FROM ${SDK:-sdk} AS build")]
    [InlineData("FROM ${SDK}")]
    [InlineData("FROM")]
    [InlineData("ARG")]
    public void Bases_OfAnyOtherForm_AreRefused(string line) => Assert.Throws<FormatException>(() => AcrBuilder.Bases([line]));

    // Without --file it is the Dockerfile that is read.
    [Fact]
    public void Documents_AzAcrBuild_IsGivenTheDockerfile()
    {
        var commands = Documents().SelectMany(text => AcrCommand().Matches(text)).Select(match => match.Value).ToList();

        Assert.NotEmpty(commands);
        Assert.All(commands, command => Assert.DoesNotMatch("""(?<!\S)(-f|--file)(?!\S)|--platform""", command));
    }

    [Fact]
    public void Documents_BuildsForOtherPlatforms_AreGivenTheDockerfileForThem()
    {
        var commands = Documents().SelectMany(text => PlatformCommand().Matches(text)).Select(match => match.Value).ToList();

        Assert.NotEmpty(commands);
        Assert.All(commands, command =>
        {
            Assert.StartsWith("scripts/cross-dockerfile.sh |", command, StringComparison.Ordinal);
            Assert.Contains(" --file - .", command, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task CrossDockerfile_IsTheDockerfile_WithThePlatformsOfItsStages()
    {
        var run = await ChartTool.SystemAsync(Path.Combine(LayoutTests.RepositoryRoot(), "scripts/cross-dockerfile.sh"));
        var (plain, cross) = (await File.ReadAllLinesAsync(Dockerfile), run.Output.TrimEnd('\n').Split('\n'));

        Assert.Equal((0, plain.Length), (run.ExitCode, cross.Length));
        Assert.Equal(
            ["FROM --platform=$BUILDPLATFORM ${SDK} AS build", "FROM --platform=$TARGETPLATFORM ${BASE}"],
            cross.Where((line, i) => line != plain[i]));
    }

    private static IEnumerable<string> Documents() =>
        System.IO.Directory.EnumerateFiles(Path.Combine(LayoutTests.RepositoryRoot(), "docs"), "*.md").Append(Path.Combine(LayoutTests.RepositoryRoot(), "README.md")).Select(File.ReadAllText);

    [GeneratedRegex(@"^az acr build .*$", RegexOptions.Multiline, MatchTimeout)]
    private static partial Regex AcrCommand();

    // A command over several lines, up to one that does not go on.
    [GeneratedRegex(@"^(?:.*[\\|]\n)*.*buildx build(?:.*[\\|]\n)*.*$", RegexOptions.Multiline, MatchTimeout)]
    private static partial Regex PlatformCommand();

    /// <summary>
    /// A copy of the rules by which <c>az acr build</c> looks for the bases of an image before it builds: line by line, without options
    /// (https://github.com/Azure/acr-builder, scan/dependencies.go; https://github.com/Azure/acr/issues/697).
    /// </summary>
    private static partial class AcrBuilder
    {
        public static List<string> Bases(IEnumerable<string> lines)
        {
            var (variables, bases) = (new Dictionary<string, string>(StringComparer.Ordinal), new List<string>());
            foreach (var line in lines)
            {
                var words = line.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
                switch (words)
                {
                    case ["FROM", _] or ["FROM", _, "AS" or "as", _]:
                        bases.Add(Expanded(words[1], variables));
                        break;
                    case ["ARG", var variable]:
                        var at = variable.IndexOf('=', StringComparison.Ordinal);
                        if (at > 0)
                        {
                            variables.TryAdd(variable[..at], variable[(at + 1)..]);
                        }

                        break;
                    case ["FROM" or "ARG", ..]:
                        throw new FormatException($"unable to understand line {line}");
                }
            }

            return bases;
        }

        private static string Expanded(string image, Dictionary<string, string> variables)
        {
            var expanded = Variable().Replace(image, match => variables.GetValueOrDefault(match.Groups["name"].Value, string.Empty));
            return Reference().IsMatch(expanded) ? expanded : throw new FormatException($"invalid reference {expanded}");
        }

        [GeneratedRegex(@"\$\{(?<name>[^}]*)\}|\$(?<name>\w+)", RegexOptions.ExplicitCapture, MatchTimeout)]
        private static partial Regex Variable();

        [GeneratedRegex(@"^[a-z0-9][a-z0-9./:_-]*$", RegexOptions.None, MatchTimeout)]
        private static partial Regex Reference();
    }
}
