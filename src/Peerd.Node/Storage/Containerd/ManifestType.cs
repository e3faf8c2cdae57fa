using System.Text.Json;

namespace Peerd.Node.Storage.Containerd;

/// <summary>Tells the media type of a manifest from its bytes: containerd's store does not keep it.</summary>
internal static class ManifestType
{
    /// <summary>Manifests are smaller.</summary>
    public const int MaxSize = 4 << 20;

    private const int LongestType = 255;

    /// <returns>Null when it is no manifest.</returns>
    public static string? Of(ReadOnlyMemory<byte> bytes)
    {
        if (bytes.IsEmpty || bytes.Span[0] != (byte)'{')
        {
            return null;
        }

        try
        {
            using var json = JsonDocument.Parse(bytes);
            var root = json.RootElement;
            if (!root.TryGetProperty("schemaVersion", out _))
            {
                return null;
            }

            if (root.TryGetProperty("mediaType", out var type) && type.ValueKind == JsonValueKind.String)
            {
                return type.GetString() is { Length: <= LongestType } text ? text : null;
            }

            return root.TryGetProperty("manifests", out _) ? "application/vnd.oci.image.index.v1+json"
                : root.TryGetProperty("config", out _) ? "application/vnd.oci.image.manifest.v1+json"
                : null;
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Strings in it may be no text.
            return null;
        }
    }
}
