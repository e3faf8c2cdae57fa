using System.Text.RegularExpressions;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Protocol;

/// <summary>The shell examples of <c>docs/protocol.md</c>.</summary>
internal static partial class Examples
{
    /// <summary>The mesh address that examples use.</summary>
    public const string DocumentedAddress = "http://127.0.0.1:30001";

    /// <summary>The digest that examples use.</summary>
    public const string DocumentedDigest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    /// <summary>The one example that contains this text.</summary>
    public static string Find(string text) =>
        CodeBlock().Matches(File.ReadAllText(Path.Combine(Repository.Root, "docs/protocol.md")))
            .Select(match => match.Groups["code"].Value)
            .Single(code => code.Contains(text, StringComparison.Ordinal));

    [GeneratedRegex("^```sh\n(?<code>.*?)^```", RegexOptions.ExplicitCapture | RegexOptions.Multiline | RegexOptions.Singleline, 1000)]
    private static partial Regex CodeBlock();
}
