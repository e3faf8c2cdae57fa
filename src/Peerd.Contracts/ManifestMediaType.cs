using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Peerd.Contracts;

/// <summary>The media type of a manifest. containerd ends a pull that has none, so it is found by hook or by crook.</summary>
public static partial class ManifestMediaType
{
    /// <summary>An OCI index.</summary>
    public const string Index = "application/vnd.oci.image.index.v1+json";

    /// <summary>An OCI manifest.</summary>
    public const string Image = "application/vnd.oci.image.manifest.v1+json";

    /// <summary>
    /// True for types that a manifest may have, as opposed to <c>application/octet-stream</c>, <c>text/html</c> and
    /// others that servers give to anything. Such a value is safe in a header.
    /// </summary>
    public static bool IsSpecific([NotNullWhen(true)] string? mediaType) =>
        mediaType is { Length: < 256 } && Specific.IsMatch(mediaType);

    /// <summary>Finds the type in a manifest itself; null when it is none.</summary>
    public static string? Detect(ReadOnlySequence<byte> manifest)
    {
        try
        {
            return DetectCore(manifest);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not JSON, or strings in it that are no text.
            return null;
        }
    }

    private static string? DetectCore(ReadOnlySequence<byte> manifest)
    {
        var reader = new Utf8JsonReader(manifest);
        if (!reader.Read() || reader.TokenType != JsonTokenType.StartObject)
        {
            return null;
        }

        string? mediaType = null;
        var (isSecondSchema, hasManifests, hasConfig, hasLayers) = (false, false, false, false);
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            var name = reader.GetString();
            reader.Read();
            switch (name)
            {
                case "mediaType" when reader.TokenType == JsonTokenType.String:
                    mediaType = reader.GetString();
                    break;
                case "schemaVersion" when reader.TokenType == JsonTokenType.Number:
                    isSecondSchema = reader.TryGetInt32(out var version) && version == 2;
                    break;
                case "manifests":
                    hasManifests = reader.TokenType == JsonTokenType.StartArray;
                    break;
                case "config":
                    hasConfig = reader.TokenType == JsonTokenType.StartObject;
                    break;
                case "layers":
                    hasLayers = reader.TokenType == JsonTokenType.StartArray;
                    break;
            }

            reader.Skip();
        }

        if (reader.Read() || !isSecondSchema)
        {
            return null;
        }

        return IsSpecific(mediaType) ? mediaType
            : hasManifests ? Index
            : hasConfig && hasLayers ? Image
            : null;
    }

    [GeneratedRegex(@"\Aapplication/vnd\.[A-Za-z0-9._-]+\+(json|prettyjws)\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 2000)]
    private static partial Regex Specific { get; }
}
