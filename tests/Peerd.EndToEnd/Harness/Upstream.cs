namespace Peerd.EndToEnd.Harness;

/// <summary>A registry as a node's configuration names it.</summary>
/// <param name="Name">What image references call it.</param>
/// <param name="Endpoint">Where it is, or where a relay to it is.</param>
internal sealed record Upstream(string Name, Uri Endpoint);
