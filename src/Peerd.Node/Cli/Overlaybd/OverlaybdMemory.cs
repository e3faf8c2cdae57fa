using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Cli.Overlaybd;

/// <summary>What we did to <c>p2pConfig</c>; kept beside overlaybd's settings until it is undone.</summary>
/// <param name="Former">Its text without us, or null when it was not there.</param>
/// <param name="Written">Its text with us.</param>
internal sealed record OverlaybdMemory(string? Former, string Written)
{
    /// <summary>The address that we wrote.</summary>
    [JsonIgnore]
    public string? Address => P2pSetting.OfObject(Written).Address;

    /// <summary>Reads what <see cref="ToBytes"/> made.</summary>
    /// <exception cref="FormatException">It is something else.</exception>
    public static OverlaybdMemory Parse(ReadOnlySpan<byte> text)
    {
        try
        {
            var memory = JsonSerializer.Deserialize(text, OverlaybdMemoryJson.Plain.OverlaybdMemory);
            if (memory?.Written is null || memory.Address is null)
            {
                throw new FormatException("does not say what was written");
            }

            _ = memory.Former is null ? default : P2pSetting.OfObject(memory.Former);
            return memory;
        }
        catch (JsonException exception)
        {
            throw new FormatException($"is not JSON: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, OverlaybdMemoryJson.Plain.OverlaybdMemory);
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web)]
[JsonSerializable(typeof(OverlaybdMemory))]
internal sealed partial class OverlaybdMemoryJson : JsonSerializerContext
{
    /// <summary>People may want to read it.</summary>
    public static OverlaybdMemoryJson Plain { get; } = new(new JsonSerializerOptions(JsonSerializerDefaults.Web) { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
