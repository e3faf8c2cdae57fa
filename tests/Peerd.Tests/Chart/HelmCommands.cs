using System.Text.RegularExpressions;

namespace Peerd.Tests.Chart;

/// <summary>What a document says to helm.</summary>
internal static partial class HelmCommands
{
    /// <summary>The commands that install or upgrade, each from <c>helm</c> to its end, whether they are indented, in a list or behind a prompt.</summary>
    public static IEnumerable<string> Of(string document) => Command.Matches(document).Select(match => match.Groups["command"].Value);

    // Over several lines, up to one that does not go on.
    [GeneratedRegex(@"^[ \t>]*(\$ +)?(?<command>helm (install|upgrade) (.*\\\n)*.*)$", RegexOptions.ExplicitCapture | RegexOptions.Multiline, 2000)]
    private static partial Regex Command { get; }
}
