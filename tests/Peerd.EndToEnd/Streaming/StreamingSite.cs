using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Streaming;

/// <summary>A mesh whose nodes may read from one registry and its store, and the clients on its nodes.</summary>
internal sealed class StreamingSite : IAsyncDisposable
{
    /// <summary>A store that the nodes may read from, and that no name server knows.</summary>
    public const string UnknownStore = "http://store.invalid";

    private readonly List<OverlaybdClient> _clients = [];

    private StreamingSite(SignedStore store, TokenRegistry registry, PeerdNode[] nodes)
    {
        Store = store;
        Registry = registry;
        Nodes = nodes;
    }

    public SignedStore Store { get; }

    public TokenRegistry Registry { get; }

    public PeerdNode[] Nodes { get; }

    /// <summary>Starts all of it.</summary>
    /// <param name="lab">Owns the nodes.</param>
    /// <param name="nodes">How many.</param>
    /// <param name="blobs">What the store has.</param>
    /// <param name="time">Decides when signatures are over; null is the real time.</param>
    /// <param name="name">Tells its nodes from those of other sites.</param>
    /// <param name="change">Changes the section Peerd of what the nodes are started with.</param>
    public static async Task<StreamingSite> StartAsync(
        Lab lab, int nodes, GeneratedBlob[] blobs, TimeProvider? time = null, string name = "n", Action<JsonObject>? change = null)
    {
        var store = await SignedStore.StartAsync(time);
        foreach (var blob in blobs)
        {
            store.Add(blob);
        }

        var site = new StreamingSite(store, await TokenRegistry.StartAsync(store), [.. Enumerable.Range(1, nodes).Select(i => PeerdNode.Create(lab, $"{name}{i}"))]);
        try
        {
            await Task.WhenAll(site.Nodes.Select(node => node.StartAsync(site.Configure(node, change))));
            return site;
        }
        catch
        {
            await site.DisposeAsync();
            throw;
        }
    }

    /// <summary>A new client on a node; it knows nothing yet.</summary>
    public OverlaybdClient CreateClient(PeerdNode node)
    {
        var client = new OverlaybdClient($"http://{node.Facade.Authority}/blobs");
        _clients.Add(client);
        return client;
    }

    /// <summary>A container on a node, with a client of its own.</summary>
    public StreamingContainer CreateContainer(PeerdNode node, GeneratedBlob blob, int seed = 0) => new(CreateClient(node), Registry.UrlOf(blob), blob, seed);

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        _clients.ForEach(client => client.Dispose());
        await Registry.DisposeAsync();
        await Store.DisposeAsync();
    }

    private JsonObject Configure(PeerdNode node, Action<JsonObject>? change)
    {
        var configuration = node.Configure(Nodes, Registry.Upstream);
        configuration["Peerd"]!["Blobs"] = new JsonObject
        {
            ["Hosts"] = new JsonArray(Store.Url, UnknownStore),
            ["AllowedNetworks"] = new JsonArray("127.0.0.0/8"),
        };
        change?.Invoke(configuration["Peerd"]!.AsObject());
        return configuration;
    }
}
