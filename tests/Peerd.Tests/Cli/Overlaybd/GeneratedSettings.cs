using CsCheck;

namespace Peerd.Tests.Cli.Overlaybd;

/// <summary>Texts that overlaybd's settings might be: any JSON object in any layout, mostly with a <c>p2pConfig</c>.</summary>
internal static class GeneratedSettings
{
    private static readonly Gen<string> PlainSpace = Gen.OneOf("", "", " ", "\n", "\n  ", "\n\t\t", "\r\n    ");

    private static readonly Gen<string> Space = Gen.OneOf(PlainSpace, PlainSpace, Gen.OneOf(" /* , \"p2pConfig\": { */ ", " // , }\n"));

    private static readonly Gen<string> Scalar = Gen.OneOf(
        Gen.OneOf("true", "false", "null", "\"\"", "\"{\\\"enable\\\": [\"", "\"// }\"", "\"\\u00e9 é 値 😀\"", "\"http://other:1/x\""),
        Gen.Double.Where(double.IsFinite).Select(number => number.ToString("R")));

    private static readonly Gen<string> Value = Gen.Recursive<string>((depth, value) => depth == 3
        ? Scalar
        : Gen.OneOf(Scalar, List("[", value, "]"), Object(Member(Gen.OneOf("a", "p2pConfig", "enable", "address"), value))));

    private static readonly Gen<string> P2p = Member(
        Gen.OneOf("p2pConfig", "p2p\\u0043onfig"),
        Object(Member(Gen.OneOf("enable", "address", "more", "\\u0065nable"), Value)));

    private static readonly Gen<string> Other = Member(Gen.OneOf("a", "b", "enable", "download", "p2pconfig", "ü"), Value);

    public static Gen<string> All { get; } =
        from space in Space
        from root in Gen.OneOf(Object(Other), Object(Gen.OneOf(Other, P2p)))
        from end in Gen.OneOf("", "\n", " // end", "\r\n")
        select space + root + end;

    private static Gen<string> Object(Gen<string> member) => List("{", member, "}");

    private static Gen<string> Member(Gen<string> name, Gen<string> value) =>
        from named in name
        from before in PlainSpace
        from after in Space
        from valued in value
        select $"\"{named}\"{before}:{after}{valued}";

    private static Gen<string> List(string open, Gen<string> item, string close) =>
        from items in Gen.Select(Space, item, Space, (before, text, after) => before + text + after).List[0, 4]
        from comma in Gen.OneOf("", "", ",")
        from space in Space
        select open + string.Join(',', items) + (items.Count > 0 ? comma : "") + space + close;
}
