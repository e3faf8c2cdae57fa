using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;
using Peerd.Contracts;

namespace Peerd.Node.Cli.Fetch;

/// <summary>An image index or an image manifest, OCI or docker: the fields that a pull needs.</summary>
internal sealed record ImageDocument(
    string? MediaType = null,
    IReadOnlyList<Descriptor>? Manifests = null,
    Descriptor? Config = null,
    IReadOnlyList<Descriptor>? Layers = null)
{
    /// <summary>Reads a document that a registry sent.</summary>
    /// <exception cref="PullException">It is neither index nor manifest, or names contents by what is no digest.</exception>
    public static ImageDocument Parse(ReadOnlySpan<byte> json, string what)
    {
        ImageDocument? document;
        try
        {
            document = JsonSerializer.Deserialize(json, ImageDocumentJson.Default.ImageDocument);
        }
        catch (JsonException exception)
        {
            throw new PullException($"{what} is no valid JSON: {exception.Message}", exception);
        }

        if (document is null || (document.Manifests is null && (document.Config is null || document.Layers is null)))
        {
            throw new PullException($"{what} is neither an image index nor an image manifest (media type {document?.MediaType ?? "unknown"})");
        }

        foreach (var descriptor in document.Manifests ?? document.Layers!.Prepend(document.Config!))
        {
            if (descriptor is null || !Digest.TryParse(descriptor.Digest, out _) || descriptor.Size < 0)
            {
                throw new PullException($"{what} names a content with digest '{descriptor?.Digest}' and size {descriptor?.Size}, which is not valid");
            }
        }

        return document;
    }
}

/// <summary>How OCI documents point to a content.</summary>
internal sealed record Descriptor(
    string? MediaType,
    string? Digest,
    long Size,
    DescriptorPlatform? Platform = null,
    IReadOnlyDictionary<string, string>? Annotations = null);

/// <summary>The platform of a manifest in an index.</summary>
internal sealed record DescriptorPlatform(string? Os, string? Architecture, string? Variant = null)
{
    public Platform ToPlatform() => new(Os ?? "", Architecture ?? "", Variant);
}

/// <summary>index.json of an image layout.</summary>
internal sealed record LayoutIndex(int SchemaVersion, string MediaType, IReadOnlyList<Descriptor> Manifests);

/// <summary>What registries answer when they refuse.</summary>
internal sealed record RegistryErrors(IReadOnlyList<RegistryError?>? Errors);

/// <summary>One error of a registry.</summary>
internal sealed record RegistryError(string? Code, string? Message);

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(ImageDocument))]
[JsonSerializable(typeof(LayoutIndex))]
[JsonSerializable(typeof(RegistryErrors))]
internal sealed partial class ImageDocumentJson : JsonSerializerContext
{
    /// <summary>For writing: media types keep their plus sign, as in the documents of other tools.</summary>
    public static ImageDocumentJson Plain { get; } = new(new JsonSerializerOptions { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
}
