namespace Peerd.Node.Membership;

/// <summary>One node of the mesh as the source of membership tells it.</summary>
/// <param name="Name">Name of the node; unique, compared by ordinal.</param>
/// <param name="Address">Where its mesh listener is: host and port.</param>
/// <param name="Zone">Zone of the node; empty when it has none.</param>
internal sealed record Member(string Name, System.Net.DnsEndPoint Address, string Zone);
