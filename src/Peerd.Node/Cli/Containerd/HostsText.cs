using System.Text;
using Tomlyn;
using Tomlyn.Model;
using Tomlyn.Parsing;
using Tomlyn.Serialization;
using Tomlyn.Syntax;

namespace Peerd.Node.Cli.Containerd;

/// <summary>
/// The text of a <c>hosts.toml</c>, in which all that is ours stands between two marks: put in before the first host, taken
/// out again byte for byte, and all else left as it is. Immutable.
/// </summary>
internal sealed class HostsText
{
    private const string Begin = "# >>> peerd";
    private const string End = "# <<< peerd";

    /// <summary>In the first mark: the line before it had no end.</summary>
    private const string EndsLine = " (ends the line before)";

    /// <summary>In the first mark: there was no file.</summary>
    private const string IsNew = " (new file)";

    /// <summary>In the first mark: nor was there a folder for it.</summary>
    private const string IsNewFolder = " (new folder)";

    private readonly int _begin;
    private readonly int _end;

    /// <param name="text">All of it.</param>
    /// <exception cref="FormatException">The marks do not belong together; the message completes "the file …".</exception>
    public HostsText(string text)
    {
        Text = text;
        (_begin, _end) = (LineWith(text, Begin, 0), -1);
        if (_begin < 0)
        {
            if (LineWith(text, End, 0) >= 0)
            {
                throw new FormatException($"has the mark '{End}' without '{Begin}'");
            }

            return;
        }

        var end = LineWith(text, End, _begin);
        var next = LineWith(text, Begin, LineEnd(text, _begin));
        if (end < 0 || next >= 0 || LineWith(text, End, LineEnd(text, end)) >= 0)
        {
            throw new FormatException($"has the marks '{Begin}' and '{End}' not just once each, in this order");
        }

        _end = LineEnd(text, end);
        Mark = text[_begin..LineEnd(text, _begin)].TrimEnd('\r', '\n');
    }

    public string Text { get; }

    /// <summary>Why what is written into such a file may do nothing; null when it counts.</summary>
    public string? Doubt => Text.StartsWith('\uFEFF') ? "it begins with a byte order mark: containerd 2 ignores the whole file" : null;

    /// <summary>What is ours stands in it.</summary>
    public bool IsConfigured => _begin >= 0;

    /// <summary>There is nothing in it but what is ours.</summary>
    public bool IsAllOurs => Without().Length == 0;

    /// <summary>One of our marks may stand in it.</summary>
    /// <param name="text">Any bytes.</param>
    public static bool MayBeOurs(ReadOnlySpan<byte> text) => text.IndexOf(Encoding.UTF8.GetBytes(Begin)) >= 0 || text.IndexOf(Encoding.UTF8.GetBytes(End)) >= 0;

    /// <summary>The file was made by us.</summary>
    public bool WasNew => Mark.Contains(IsNew, StringComparison.Ordinal);

    /// <summary>So was its folder.</summary>
    public bool WasNewFolder => Mark.Contains(IsNewFolder, StringComparison.Ordinal);

    private string Mark { get; } = string.Empty;

    /// <summary>The text without what is ours.</summary>
    public string Without()
    {
        if (!IsConfigured)
        {
            return Text;
        }

        var start = _begin;
        if (Mark.Contains(EndsLine, StringComparison.Ordinal) && _end == Text.Length)
        {
            // Else others have gone on behind ours: what comes there needs a line of its own.
            start -= Text[..start].EndsWith("\r\n", StringComparison.Ordinal) ? 2 : Math.Min(1, start);
        }

        return Text[..start] + Text[_end..];
    }

    /// <summary>Others have written the mirror into it.</summary>
    /// <exception cref="FormatException">It is no TOML.</exception>
    public bool Has(MirrorHost mirror) => HostsOf(Parse(Without()))?.Keys.Contains(mirror.Url, StringComparer.Ordinal) ?? false;

    /// <summary>The text with the mirror before all other hosts.</summary>
    /// <param name="mirror">The host.</param>
    /// <exception cref="FormatException">There is no place for it; the message completes "the file …".</exception>
    public string With(MirrorHost mirror)
    {
        var text = Without();
        var body = Body(text);
        if (Has(mirror))
        {
            throw new FormatException($"has a host {mirror.Url} of its own, which is not touched");
        }

        var line = text.Contains("\r\n", StringComparison.Ordinal) ? "\r\n" : "\n";
        var place = PlaceIn(body);
        var mark = string.Empty;
        var before = body[..place];
        if (before.Length > 0 && before[^1] != '\n')
        {
            (before, mark) = (before + line, EndsLine);
        }

        var block = $"{Begin}{mark}: written by 'peerd configure containerd', taken out with --remove{line}{mirror.ToTable(line)}{End}{line}";
        var whole = before + block + body[place..];
        if (HostsOf(Parse(whole))?.Keys.FirstOrDefault() != mirror.Url)
        {
            throw new FormatException("has its hosts in another form than [host.\"…\"] tables; write them so");
        }

        return text[..(text.Length - body.Length)] + whole;
    }

    /// <summary>The text with what is ours replaced: others have written around it.</summary>
    /// <param name="block">All that is ours, marks included.</param>
    public string Replacing(string block) => Text[.._begin] + block + Text[_end..];

    /// <summary>What is ours where nothing else counts: a new file, or what goes into an empty one.</summary>
    /// <param name="mirror">The host.</param>
    /// <param name="keys">Keys of the file itself, line by line.</param>
    /// <param name="tables">Tables behind ours, as they are written elsewhere.</param>
    /// <param name="isNew">There was no file.</param>
    /// <param name="isNewFolder">There was no folder for it.</param>
    public static string Whole(MirrorHost mirror, string keys, string tables, bool isNew, bool isNewFolder) =>
        $"{Begin}{(isNew ? IsNew : string.Empty)}{(isNewFolder ? IsNewFolder : string.Empty)}: written by 'peerd configure containerd', taken out with --remove\n{keys}\n{mirror.ToTable("\n")}{tables}{End}\n";

    /// <summary>
    /// The text without what is ours, in two parts: the keys of the file itself, which are those of the registry, and all tables.
    /// Certificates that are given by relative paths are then given from a folder beside it.
    /// </summary>
    /// <param name="folder">The name of the folder that the file is in.</param>
    /// <exception cref="FormatException">It is no TOML.</exception>
    public (string Keys, string Tables) ForAnotherFolder(string folder)
    {
        var text = Body(Without());
        _ = HostsOf(Parse(text));
        var document = SyntaxParser.Parse(text, "hosts.toml", validate: true);
        var tables = document.Tables.ChildrenCount == 0 ? text.Length : LineStart(text, document.Tables.GetChild(0)!.OpenBracket!.Span.Offset);
        var paths = document.Descendants().OfType<KeyValueSyntax>()
            .Where(pair => pair.Key?.ToString()?.Split('.')[^1].Trim(' ', '\t', '"', '\'') is "ca" or "client" && pair.Value is not null)
            .SelectMany(pair => pair.Value!.Descendants().Prepend(pair.Value).OfType<StringValueSyntax>())
            .Where(value => value.Value is { Length: > 0 } path && !Path.IsPathRooted(path))
            .DistinctBy(value => value.Token!.Span.Offset)
            .OrderByDescending(value => value.Token!.Span.Offset);
        foreach (var path in paths)
        {
            var (start, length, with) = (path.Token!.Span.Offset, path.Token.Text!.Length, Quoted($"../{folder}/{path.Value}"));
            text = text[..start] + with + text[(start + length)..];
            tables += start < tables ? with.Length - length : 0;
        }

        return (Lines(text[..tables]), Lines(text[tables..]));

        static string Lines(string part) => part.TrimEnd() is { Length: > 0 } rest ? rest + '\n' : string.Empty;
    }

    /// <summary>A string of TOML.</summary>
    public static string Quoted(string text) => $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    /// <summary>Reads TOML.</summary>
    /// <exception cref="FormatException">It is none; the message completes "the file …".</exception>
    public static TomlTable Parse(string text)
    {
        try
        {
            // The reader of values takes what is there twice, containerd does not.
            var document = SyntaxParser.Parse(Body(text), "hosts.toml", validate: true);
            return document.HasErrors
                ? throw new FormatException($"is no TOML: {document.Diagnostics.First(message => message.Kind == DiagnosticMessageKind.Error).ToString().ReplaceLineEndings(" ")}")
                : TomlSerializer.Deserialize(Body(text), TomlTables.Default.TomlTable) ?? [];
        }
        catch (Exception exception) when (exception is TomlException or ArgumentOutOfRangeException)
        {
            // The latter is what the parser makes of an escape that the end of the file cuts.
            throw new FormatException($"is no TOML: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    /// <summary>The hosts in the order of the file; null when there are none.</summary>
    /// <exception cref="FormatException"><c>host</c> is something else than tables.</exception>
    public static TomlTable? HostsOf(TomlTable file) => !file.TryGetValue("host", out var hosts) ? null
        : hosts as TomlTable ?? throw new FormatException("has a host that is no table");

    // A mark of the encoding stays where it is.
    private static string Body(string text) => text.StartsWith('\uFEFF') ? text[1..] : text;

    // Before the first table, and before the comment that belongs to it; keys of the file itself must come before all tables.
    private static int PlaceIn(string text)
    {
        var document = SyntaxParser.Parse(text, "hosts.toml", validate: true);
        if (document.Tables.ChildrenCount == 0)
        {
            return text.Length;
        }

        var place = LineStart(text, document.Tables.GetChild(0)!.OpenBracket!.Span.Offset);
        while (place > 0 && LineStart(text, place - 1) is var above && text.AsSpan(above, place - above).TrimStart(" \t").StartsWith("#"))
        {
            place = above;
        }

        return place;
    }

    private static int LineWith(string text, string start, int from)
    {
        for (var line = from; line < text.Length; line = LineEnd(text, line))
        {
            var begin = line == 0 && text.StartsWith('\uFEFF') ? 1 : line;
            if (text.AsSpan(begin).StartsWith(start))
            {
                return begin;
            }
        }

        return -1;
    }

    private static int LineStart(string text, int offset) => offset == 0 ? 0 : text.LastIndexOf('\n', offset - 1) + 1;

    // Behind the end of the line.
    private static int LineEnd(string text, int offset) => text.IndexOf('\n', offset) is >= 0 and var end ? end + 1 : text.Length;
}

/// <summary>Reads TOML without reflection.</summary>
[TomlSerializable(typeof(TomlTable))]
internal sealed partial class TomlTables : TomlSerializerContext;

/// <summary>The facade as a host of containerd.</summary>
/// <param name="Url">Where it is, <c>http://host:port</c>.</param>
internal sealed record MirrorHost(string Url)
{
    /// <summary>
    /// Its table. Only what all versions know, and no keys of TLS: with them containerd would try that first. The time is
    /// known from 2.0.7 on; a node that is down costs no longer then.
    /// </summary>
    public string ToTable(string line) => new StringBuilder()
        .Append("[host.\"").Append(Url).Append("\"]").Append(line)
        .Append("  capabilities = [\"pull\", \"resolve\"]").Append(line)
        .Append("  dial_timeout = \"1s\"").Append(line)
        .Append(line)
        .ToString();
}
