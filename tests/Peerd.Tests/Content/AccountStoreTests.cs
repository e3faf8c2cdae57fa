using Microsoft.Extensions.DependencyInjection;
using Peerd.Contracts;
using Peerd.Node.Facade;
using Peerd.Node.Origin;
using Peerd.Tests.Hosting;
using Peerd.Tests.Origin;
using Peerd.Tests.Storage;
using static Peerd.Tests.Content.BlobClient;

namespace Peerd.Tests.Content;

/// <summary>Blobs in accounts of a store where anybody can rent one, the name of the host being that of the account.</summary>
public sealed class AccountStoreTests
{
    private const int MiB = 1024 * 1024;
    private const string Ours = "ours.blob.core.windows.net";
    private const string Rented = "rented.blob.core.windows.net";

    [Fact]
    public async Task Read_ByAllNodesFromOneAccount_ItIsReadOnce()
    {
        await using var registry = await FakeRegistry.StartAsync();
        await using var mesh = await StartAsync(registry, nodes: 3);
        var sample = mesh.Blob(2 * MiB);

        // Of these nobody knows what they are: none of it is shared.
        foreach (var url in new[] { $"{UrlOf(Ours, sample)}&comp=blocklist", $"https://{Ours}/?d={sample.Digest}" })
        {
            Assert.Equal(206, (await ReadAsync(mesh.Node, url, "bytes=0-99")).Status);
        }

        Assert.Empty(mesh.Node.Cache.Digests);
        await ReadAllAsync(mesh.Node, UrlOf(Ours, sample), sample);
        var scoped = sample.Digest.Within($"https://{Ours}:443");
        await Wait.UntilAsync(() => mesh.Nodes.Exists(node => node.Directory.TryFind(scoped, out var entry) && entry.Holders.Any(holder => holder.Complete)), "it is announced");

        foreach (var node in mesh.Nodes)
        {
            await ReadAllAsync(node, UrlOf(Ours.ToUpperInvariant(), sample, node.Name), sample);
        }

        Assert.Equal(sample.Bytes.Length + (2 * 100), registry.BytesOf(sample.Digest));
        Assert.DoesNotContain(mesh.Nodes, node => node.Directory.TryFind(sample.Digest, out _));
    }

    [Fact]
    public async Task Read_OtherBytesUnderTheDigestInAnotherAccount_ReachOnlyWhoReadsThatAccount()
    {
        await using var registry = await FakeRegistry.StartAsync();
        var sample = TestMesh.NewSample(2 * MiB);
        var other = TestMesh.NewSample(2 * MiB);
        await using var mesh = await StartAsync(registry, nodes: 2, host => host == Rented ? other.Digest : null);
        registry.AddBlob(sample.Bytes);
        registry.AddBlob(other.Bytes);

        // Not all of it: the whole would be compared with the digest.
        foreach (var node in mesh.Nodes)
        {
            var answer = await ReadAsync(node, UrlOf(Rented, sample), $"bytes=0-{MiB - 1}");
            Assert.True(other.Bytes.AsSpan(0, MiB).SequenceEqual(answer.Body));
        }

        foreach (var node in mesh.Nodes)
        {
            await ReadAllAsync(node, UrlOf(Ours, sample), sample);
            await ReadAllAsync(node, $"{registry.Url}/v2/r/blobs/{sample.Digest}", sample);
            Assert.Equal(sample.Bytes, await node.Client.GetByteArrayAsync(new Uri($"/v2/library/test/blobs/{sample.Digest}?ns={TestNode.Registry}", UriKind.Relative)));
        }
    }

    [Fact]
    public async Task Read_AfterARestart_FromTheCache()
    {
        using var folder = new CacheFolder();
        await using var registry = await FakeRegistry.StartAsync();
        SampleContent sample;
        await using (var before = await StartAsync(registry, cache: folder.Path))
        {
            sample = before.Blob(2 * MiB);
            await ReadAllAsync(before.Node, UrlOf(Ours, sample), sample);
        }

        await using var mesh = await StartAsync(registry, cache: folder.Path);
        await ReadAllAsync(mesh.Node, UrlOf(Ours, sample), sample);

        Assert.Equal(sample.Bytes.Length, registry.BytesOf(sample.Digest));
    }

    private static string UrlOf(string account, SampleContent sample, string signature = "S3cretx") =>
        $"https://{account}/c//docker/registry/v2/blobs/sha256/{sample.Digest.Hex[..2]}/{sample.Digest.Hex}/data?sig={signature}";

    private static Task<TestMesh> StartAsync(FakeRegistry registry, int nodes = 1, Func<string, Digest?>? kept = null, string? cache = null) => TestMesh.StartAsync(
        nodes: nodes,
        settings: ["--Peerd:Blobs:ReadAhead=0"],
        registry: registry,
        cache: cache,
        customize: services => services.AddSingleton<IOrigin>(provider => new Accounts(ActivatorUtilities.CreateInstance<Origins>(provider), registry, kept ?? (_ => null))));

    /// <summary>A store whose accounts all lead to the registry: to the blob that the digest names, or to what the account keeps under it.</summary>
    private sealed class Accounts(IOrigin origins, FakeRegistry registry, Func<string, Digest?> kept) : IOrigin
    {
        public bool Serves(string host) => origins.Serves(host);

        public bool Relays(string host) => origins.Relays(host);

        public Task<OriginResponse> ReadAsync(OriginReference reference, ByteRange? range, CancellationToken cancellationToken) =>
            origins.ReadAsync(At(reference), range, cancellationToken);

        public Task<OriginResponse> StatAsync(OriginReference reference, CancellationToken cancellationToken) =>
            origins.StatAsync(At(reference), cancellationToken);

        private OriginReference At(OriginReference reference)
        {
            if (reference.Given is not { } given || !given.Url.Host.EndsWith(".blob.core.windows.net", StringComparison.Ordinal))
            {
                return reference;
            }

            Assert.True(BlobUrl.TryParse(BlobUrl.Prefix + given.Url.OriginalString.Replace("&comp=blocklist", string.Empty, StringComparison.Ordinal), out var blob));
            var digest = kept(given.Url.Host) ?? blob.Digest;
            Assert.True(OriginUrl.TryParse($"{registry.Url}/v2/r/blobs/{digest}", out var url));
            return reference with { Given = new GivenUrl(url, null) };
        }
    }
}
