using System.Text.Json;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>A member of a <see cref="JsonObjectText"/>: what it is and where it stands.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Start">Where the name starts, with its quote.</param>
/// <param name="NameEnd">The place after the name.</param>
/// <param name="ValueStart">Where the value starts.</param>
/// <param name="ValueEnd">The place after the value.</param>
/// <param name="Type">The value's first token.</param>
/// <param name="Text">The value, if it is a string.</param>
internal sealed record JsonMemberText(string Name, int Start, int NameEnd, int ValueStart, int ValueEnd, JsonTokenType Type, string? Text)
{
    /// <summary>Reads a member from its name to the end of its value.</summary>
    public static JsonMemberText Read(ref Utf8JsonReader reader)
    {
        var name = reader.GetString()!;
        var start = (int)reader.TokenStartIndex;
        var nameEnd = start + reader.ValueSpan.Length + 2;
        reader.Read();
        var valueStart = (int)reader.TokenStartIndex;
        var type = reader.TokenType;
        var text = type == JsonTokenType.String ? reader.GetString() : null;
        reader.Skip();
        return new JsonMemberText(name, start, nameEnd, valueStart, (int)reader.BytesConsumed, type, text);
    }

    /// <summary>A value of this type in words.</summary>
    public static string Describe(JsonTokenType type) => type switch
    {
        JsonTokenType.StartObject => "an object",
        JsonTokenType.StartArray => "an array",
        JsonTokenType.String => "a string",
        JsonTokenType.Number => "a number",
        JsonTokenType.True or JsonTokenType.False => "true or false",
        _ => "null",
    };
}
