namespace Peerd.Node.Cli.Overlaybd;

/// <summary>The white space that an object is written with.</summary>
/// <param name="BeforeFirst">Between the brace and the first member.</param>
/// <param name="BeforeNext">Between a comma and the next member.</param>
/// <param name="BeforeEnd">Between the last member and the brace.</param>
/// <param name="Between">Between name and value, with the colon.</param>
internal readonly record struct JsonLayout(string BeforeFirst, string BeforeNext, string BeforeEnd, string Between)
{
    private const string PlainColon = ": ";
    private const string PlainIndentation = "    ";

    /// <summary>The layout of members to come.</summary>
    /// <param name="inside">What stands between the braces now.</param>
    public static JsonLayout OfEmpty(string inside)
    {
        if (!inside.Contains('\n', StringComparison.Ordinal))
        {
            return new JsonLayout(string.Empty, " ", string.Empty, PlainColon);
        }

        var line = inside.Contains("\r\n", StringComparison.Ordinal) ? "\r\n" : "\n";
        return new JsonLayout(line + PlainIndentation, line + PlainIndentation, line, PlainColon);
    }

    /// <summary>What stands between a name and its value, as far as it is worth repeating.</summary>
    public static string Colon(string between) =>
        between.Trim(' ') == ":" ? between : PlainColon;

    /// <summary>The layout of an object that is a member.</summary>
    public JsonLayout Deeper()
    {
        var line = BeforeNext.LastIndexOf('\n');
        if (line < 0)
        {
            return this;
        }

        // Members of the root are indented once.
        var deeper = BeforeNext + BeforeNext[(line + 1)..];
        return new JsonLayout(deeper, deeper, BeforeNext, Between);
    }

    /// <summary>The text of an object.</summary>
    public string Write(params ReadOnlySpan<(string Name, string Value)> members)
    {
        var text = "{";
        for (var i = 0; i < members.Length; i++)
        {
            text += $"{(i == 0 ? BeforeFirst : "," + BeforeNext)}\"{members[i].Name}\"{Between}{members[i].Value}";
        }

        return $"{text}{BeforeEnd}}}";
    }
}
