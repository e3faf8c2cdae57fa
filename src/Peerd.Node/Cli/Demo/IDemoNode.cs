namespace Peerd.Node.Cli.Demo;

/// <summary>Where the bytes that a node handed to its client came from, since it started.</summary>
internal readonly record struct NodeTraffic(long OriginBytes, long PeerBytes, long CacheBytes);

/// <summary>A whole node of the demo, in this process. Disposing stops it.</summary>
internal interface IDemoNode : IAsyncDisposable
{
    string Name { get; }

    /// <summary>Its facade, for example <c>http://127.0.0.1:41234</c>.</summary>
    Uri Facade { get; }

    NodeTraffic Traffic { get; }
}

/// <summary>What nodes the demo wants.</summary>
/// <param name="Count">How many, all of one mesh.</param>
/// <param name="Registry">The registry's name, as clients give it in <c>ns</c>.</param>
/// <param name="RegistryEndpoint">Where the nodes reach this registry.</param>
/// <param name="RootFolder">An empty folder for their caches; the demo deletes it when all nodes are disposed.</param>
internal sealed record DemoNodesRequest(int Count, string Registry, Uri RegistryEndpoint, string RootFolder);

/// <summary>Starts the nodes of the demo and completes when all are ready. When it throws, it has stopped those that it started.</summary>
internal delegate Task<IReadOnlyList<IDemoNode>> StartNodes(DemoNodesRequest request, CancellationToken cancellationToken);
