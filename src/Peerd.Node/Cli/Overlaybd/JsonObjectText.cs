using System.Text;
using System.Text.Json;
using System.Text.Unicode;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>
/// The text of a JSON object and where its members stand in it, so that one can be changed while every other byte
/// stays. Comments and trailing commas are let pass. Of members of the same name the first counts, as for overlaybd.
/// Immutable.
/// </summary>
internal sealed class JsonObjectText
{
    /// <summary>How deep values may be nested.</summary>
    public const int MaxDepth = 512;

    private static readonly JsonReaderOptions Tolerant = new() { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip, MaxDepth = MaxDepth };

    private readonly byte[] _text;
    private readonly List<JsonMemberText> _members = [];
    private readonly int _open;
    private readonly int _close;

    /// <summary>Reads a text.</summary>
    /// <exception cref="FormatException">It is no JSON object; the message goes on after the name of what was read.</exception>
    public JsonObjectText(byte[] text)
    {
        _text = text;
        if (text.AsSpan().StartsWith(Encoding.UTF8.Preamble))
        {
            throw new FormatException("begins with a byte order mark, which overlaybd takes for a broken file; save it as UTF-8 without one");
        }

        if (!Utf8.IsValid(text))
        {
            throw new FormatException("is not JSON: it is not in UTF-8");
        }

        try
        {
            var reader = new Utf8JsonReader(text, Tolerant);
            reader.Read();
            if (reader.TokenType != JsonTokenType.StartObject)
            {
                throw new FormatException($"is {JsonMemberText.Describe(reader.TokenType)}, not an object");
            }

            _open = (int)reader.TokenStartIndex;
            while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
            {
                _members.Add(JsonMemberText.Read(ref reader));
            }

            _close = (int)reader.TokenStartIndex;
            reader.Read();
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // The second is what the reader says of half a surrogate pair.
            throw new FormatException($"is not JSON: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    /// <summary>The text as it is in a file.</summary>
    public ReadOnlyMemory<byte> Bytes => _text;

    /// <summary>The text from brace to brace.</summary>
    public string Text => Slice(_open, _close + 1);

    /// <summary>True when nothing stands between the braces, not even a comment.</summary>
    public bool IsBlank => string.IsNullOrWhiteSpace(Slice(_open + 1, _close));

    /// <summary>True when it has no members.</summary>
    public bool IsEmpty => _members.Count == 0;

    /// <summary>The first member of a name, or null.</summary>
    public JsonMemberText? Find(string name) => _members.Find(member => member.Name == name);

    /// <summary>How many members have a name.</summary>
    public int Count(string name) => _members.Count(member => member.Name == name);

    /// <summary>The value of a member as it is written, or null when there is none.</summary>
    public string? ValueOf(string name) => Find(name) is { } member ? Slice(member.ValueStart, member.ValueEnd) : null;

    /// <summary>A member that is an object, or null when there is none.</summary>
    public JsonObjectText? ObjectOf(string name) =>
        Find(name) is { Type: JsonTokenType.StartObject } member ? new JsonObjectText(_text[member.ValueStart..member.ValueEnd]) : null;

    /// <summary>How its members are set.</summary>
    public JsonLayout Layout
    {
        get
        {
            if (_members.Count == 0)
            {
                return JsonLayout.OfEmpty(Slice(_open + 1, _close));
            }

            var colon = JsonLayout.Colon(Slice(_members[^1].NameEnd, _members[^1].ValueStart));
            var first = SpaceBefore(_members[0].Start);
            var next = _members.Count > 1 ? SpaceBefore(_members[^1].Start)
                : first.Contains('\n', StringComparison.Ordinal) ? first
                : colon.EndsWith(' ') ? " " : string.Empty;
            return new JsonLayout(first, next, SpaceBefore(_close), colon);
        }
    }

    /// <summary>The same with another value of a member, or with one more at the end.</summary>
    /// <param name="name">A name that needs no escaping.</param>
    /// <param name="value">JSON.</param>
    public JsonObjectText With(string name, string value)
    {
        if (Find(name) is { } member)
        {
            return Replace(member.ValueStart, member.ValueEnd, value);
        }

        var layout = Layout;
        var position = IsEmpty ? _open + 1 : _members[^1].ValueEnd;
        return Replace(position, position, $"{(IsEmpty ? layout.BeforeFirst : "," + layout.BeforeNext)}\"{name}\"{layout.Between}{value}");
    }

    /// <summary>The same without the first member of a name; undoes what <see cref="With"/> adds.</summary>
    public JsonObjectText Without(string name)
    {
        var index = _members.FindIndex(member => member.Name == name);
        if (index < 0)
        {
            return this;
        }

        if (index > 0)
        {
            return Replace(_members[index - 1].ValueEnd, _members[index].ValueEnd, string.Empty);
        }

        if (_members.Count > 1)
        {
            return Replace(_members[0].Start, _members[1].Start, string.Empty);
        }

        // A trailing comma may not stay alone; it goes first, for what stands before it keeps its place.
        var comma = TrailingComma(_members[0].ValueEnd);
        var text = comma < 0 ? _text : Replace(comma, comma + 1, string.Empty)._text;
        return new JsonObjectText([.. text[..(_open + 1)], .. text[_members[0].ValueEnd..]]);
    }

    private JsonObjectText Replace(int start, int end, string with) =>
        new([.. _text.AsSpan(..start), .. Encoding.UTF8.GetBytes(with), .. _text.AsSpan(end..)]);

    private string Slice(int start, int end) => Encoding.UTF8.GetString(_text, start, end - start);

    /// <summary>The white space before a place, from the start of the line on.</summary>
    private string SpaceBefore(int position)
    {
        var start = position;
        while (_text[start - 1] is (byte)' ' or (byte)'\t' or (byte)'\r' or (byte)'\n')
        {
            start--;
        }

        var space = Slice(start, position);
        var line = space.LastIndexOf('\n');
        return line <= 0 ? space : space[(space[line - 1] == '\r' ? line - 1 : line)..];
    }

    /// <summary>Where a comma follows, or -1.</summary>
    private int TrailingComma(int position)
    {
        while (position < _close && _text[position] != ',')
        {
            // What is neither white space nor a comma can only be a comment.
            var rest = _text.AsSpan(position);
            position += rest.StartsWith("/*"u8) ? rest.IndexOf("*/"u8) + 2
                : rest.StartsWith("//"u8) ? rest.IndexOfAny((byte)'\n', (byte)'\r') + 1
                : 1;
        }

        return position < _close ? position : -1;
    }
}
