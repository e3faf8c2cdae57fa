using Microsoft.AspNetCore.Http;
using Peerd.Contracts;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Soak;

/// <summary>Nodes whose caches have room for a part of what they read, a registry, and its blob store.</summary>
internal sealed class SoakSite : IAsyncDisposable
{
    private const int Nodes = 4;
    private const int Blobs = 48;
    private const int SmallestBlob = 100_000;
    private const int LargestBlob = 12 << 20;
    private const int Seed = 9000;
    private const string Capacity = "96MiB";
    private const string Path = "/v2/team/app/blobs/";

    private readonly SignedStore _store;
    private LabServer _registry = null!;

    private SoakSite(Lab lab, SignedStore store)
    {
        _store = store;
        var random = new Random(Seed);
        Contents = [.. Enumerable.Range(0, Blobs).Select(i => new GeneratedBlob(random.Next(SmallestBlob, LargestBlob), Seed + i))];
        foreach (var blob in Contents)
        {
            store.Add(blob);
        }

        All = PeerdNode.CreateMany(lab, Nodes);
    }

    /// <summary>All nodes.</summary>
    public PeerdNode[] All { get; }

    /// <summary>Those that run all the time.</summary>
    public PeerdNode[] Steady => All[..^1];

    /// <summary>The one that is started again all the time.</summary>
    public PeerdNode Restless => All[^1];

    /// <summary>What is read.</summary>
    public GeneratedBlob[] Contents { get; }

    /// <summary>Bytes that the registry and its store have sent.</summary>
    public long OriginBytes => _store.Bytes;

    /// <summary>Starts all of it.</summary>
    public static async Task<SoakSite> StartAsync(Lab lab)
    {
        var site = new SoakSite(lab, await SignedStore.StartAsync());
        site._registry = await LabServer.StartAsync(site.HandleAsync);
        foreach (var node in site.All)
        {
            var configuration = node.Configure(site.All, new Upstream(new Uri(site._registry.Url).Authority, new Uri(site._registry.Url)));
            var settings = configuration["Peerd"]!;
            settings["Cache"]!["Capacity"] = Capacity;
            settings["Blobs"] = new System.Text.Json.Nodes.JsonObject
            {
                ["Hosts"] = new System.Text.Json.Nodes.JsonArray(site._store.Url),
                ["AllowedNetworks"] = new System.Text.Json.Nodes.JsonArray("127.0.0.0/8"),
            };
            await node.StartAsync(configuration);
        }

        return site;
    }

    /// <summary>Where a container streams the blob from, on a node.</summary>
    public Uri StreamOf(PeerdNode node, GeneratedBlob blob) => new($"{node.Facade}blobs/{_store.Url}{_store.Sign(blob.Digest)}", new UriCreationOptions { DangerousDisablePathAndQueryCanonicalization = true });

    /// <summary>Where containerd pulls a digest, on a node.</summary>
    public Uri PullOf(PeerdNode node, Digest digest) => new(node.Facade, $"{Path}{digest}?ns={new Uri(_registry.Url).Authority}");

    /// <inheritdoc />
    public async ValueTask DisposeAsync()
    {
        await _registry.DisposeAsync();
        await _store.DisposeAsync();
    }

    private async Task HandleAsync(HttpContext context)
    {
        if (Digest.TryParse(context.Request.Path.Value!.Split('/')[^1], out var digest) && _store.Find(digest) is { } blob)
        {
            await _store.SendAsync(context, blob);
        }
        else
        {
            context.Response.StatusCode = StatusCodes.Status404NotFound;
        }
    }
}
