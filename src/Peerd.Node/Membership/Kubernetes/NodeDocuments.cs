using System.Text.Json.Serialization;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>A list of nodes, or one part of it, as far as it is used (Kubernetes API, core/v1 NodeList).</summary>
internal sealed record NodeListDocument(ListMetadata? Metadata, List<NodeDocument>? Items);

/// <summary>Where a list stands.</summary>
/// <param name="ResourceVersion">From here on the list can be watched.</param>
/// <param name="Continue">How to ask for the rest; empty when this was all.</param>
internal sealed record ListMetadata(string? ResourceVersion, string? Continue);

/// <summary>A node (core/v1 Node); with an error of a watch, what went wrong (meta/v1 Status).</summary>
internal sealed record NodeDocument(NodeMetadata? Metadata, NodeStatusDocument? Status, int? Code, string? Message);

/// <summary>Name, version and labels of a node.</summary>
internal sealed record NodeMetadata(string? Name, string? ResourceVersion, Dictionary<string, string>? Labels);

/// <summary>Addresses and condition of a node.</summary>
internal sealed record NodeStatusDocument(List<NodeAddress>? Addresses, List<NodeCondition>? Conditions);

/// <summary>One address.</summary>
internal sealed record NodeAddress(string? Type, string? Address);

/// <summary>One condition: <c>Ready</c> is the one that counts.</summary>
internal sealed record NodeCondition(string? Type, string? Status);

/// <summary>One line of a watch.</summary>
/// <param name="Type"><c>ADDED</c>, <c>MODIFIED</c>, <c>DELETED</c>, <c>BOOKMARK</c> or <c>ERROR</c>.</param>
/// <param name="Object">The node as it is now, or was last; of a bookmark only its version.</param>
internal sealed record WatchDocument(string? Type, NodeDocument? Object);

/// <summary>Reads the documents without reflection.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase)]
[JsonSerializable(typeof(NodeListDocument))]
[JsonSerializable(typeof(WatchDocument))]
internal sealed partial class NodeJson : JsonSerializerContext;
