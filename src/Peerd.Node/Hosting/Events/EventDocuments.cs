using System.Text.Json.Serialization;

namespace Peerd.Node.Hosting.Events;

/// <summary>An event (Kubernetes API, core/v1 Event), as far as it is written.</summary>
internal sealed record EventDocument(
    string ApiVersion,
    string Kind,
    EventMetadata Metadata,
    InvolvedObject InvolvedObject,
    string Reason,
    string Message,
    string Type,
    EventSource Source,
    string FirstTimestamp,
    string LastTimestamp,
    int Count);

/// <summary>What changes of an event that has happened again.</summary>
internal sealed record EventPatch(string Message, string LastTimestamp, int Count);

/// <summary>Where the event is kept.</summary>
internal sealed record EventMetadata(string Name, string Namespace);

/// <summary>What it is about.</summary>
internal sealed record InvolvedObject(string ApiVersion, string Kind, string Name, string Namespace, string? Uid);

/// <summary>Who says so.</summary>
internal sealed record EventSource(string Component, string Host);

/// <summary>Writes the documents without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(EventDocument))]
[JsonSerializable(typeof(EventPatch))]
internal sealed partial class EventJson : JsonSerializerContext;
