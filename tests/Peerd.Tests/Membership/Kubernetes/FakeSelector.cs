using System.Text.RegularExpressions;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>A label selector, as the API server applies it. Immutable.</summary>
/// <param name="text">As it was asked for; empty: everything.</param>
internal sealed partial class FakeSelector(string text)
{
    private readonly Match[] _requirements = text.Length == 0 ? [] : [.. Requirement().Matches(text).Cast<Match>()];

    /// <summary>An object with these labels is one of them.</summary>
    public bool Matches(IReadOnlyDictionary<string, string> labels) => Array.TrueForAll(_requirements, requirement => IsMet(requirement, labels));

    private static bool IsMet(Match requirement, IReadOnlyDictionary<string, string> labels)
    {
        var value = labels.GetValueOrDefault(requirement.Groups["key"].Value);
        var values = requirement.Groups["value"].Value.Split(',', StringSplitOptions.TrimEntries);

        // As there, a label that is missing is none of the values.
        return requirement.Groups["operator"].Value switch
        {
            "" => (value is null) == (requirement.Groups["not"].Length > 0),
            "!=" or "notin" => !values.Contains(value),
            _ => values.Contains(value),
        };
    }

    [GeneratedRegex(@"\G(?<not>!?)(?<key>[\w./-]+) ?(?:(?<operator>=|==|!=)(?<value>[\w.-]*)|(?<operator>in|notin) \((?<value>[^)]*)\))?(?:,|$)", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Requirement();
}
