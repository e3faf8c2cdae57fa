using System.Text.RegularExpressions;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>How a label selector is written, such as <c>pool in (images,builds),type!=virtual-kubelet</c>. Stateless.</summary>
internal static partial class LabelSelector
{
    /// <summary>What is allowed.</summary>
    public const string Allowed = "empty, or a label selector, such as 'pool=images', 'pool in (images,builds)' or 'type!=virtual-kubelet', several with commas between";

    private const string Name = "[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?";
    private const string Label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
    private const string Key = $@"(?:{Label}(?:\.{Label})*/)?{Name}";
    private const string Value = $"(?:{Name})?";
    private const string Requirement = $@" *(?:! *{Key}|{Key}(?: *(?:==?|!=) *{Value}| *[<>] *-?[0-9]+| +(?:in|notin) *\( *{Value}(?: *, *{Value})* *\))?) *";

    /// <summary>False when the API server would refuse it.</summary>
    public static bool IsValid(string text) => text.Length == 0 || Selector().IsMatch(text);

    [GeneratedRegex($@"\A{Requirement}(?:,{Requirement})*\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Selector();
}
