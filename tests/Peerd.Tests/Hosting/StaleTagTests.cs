using System.Collections.Concurrent;
using System.Net;
using System.Text;
using Grpc.Core;
using Microsoft.Extensions.Diagnostics.Metrics.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Ring;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Hosting;

/// <summary>Pulls by tag while the registry is down.</summary>
public sealed class StaleTagTests
{
    private const string MediaType = "application/vnd.oci.image.manifest.v1+json";

    [Fact]
    public async Task Get_RegistryDown_TagResolvedHereBefore_IsServedStaleAndSaysSo()
    {
        await using var mesh = await StartAsync(nodes: 1);
        var (manifest, digest) = Push(mesh, "v1");
        Assert.Null((await AskAsync(mesh.Node, "v1")).Stale);
        using var results = new MetricCollector<long>(mesh.Node.Get<System.Diagnostics.Metrics.IMeterFactory>(), "Peerd", "peerd.tags.resolved");
        mesh.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable);

        var answer = await AskAsync(mesh.Node, "v1");

        Assert.Equal((HttpStatusCode.OK, digest.ToString()), (answer.Status, answer.Digest));
        Assert.Equal(manifest, answer.Body);
        Assert.InRange(long.Parse(answer.Stale!, System.Globalization.CultureInfo.InvariantCulture), 0, 60);

        // Code, unnamed agent, quoted text without quotes in it: all that the OCI distribution specification allows, up to 4096 bytes.
        Assert.Matches("\\A299 - \"[ !#-\\[\\]-~]+\"\\z", answer.Warning!);
        Assert.InRange(answer.Warning!.Length, 1, 4096);
        Assert.Equal("stale_local", Assert.Single(results.GetMeasurementSnapshot()).Tags["result"]);
    }

    [Theory]
    [InlineData(HttpStatusCode.NotFound)]
    [InlineData(HttpStatusCode.Forbidden)]
    [InlineData(HttpStatusCode.Unauthorized)]
    public async Task Get_RegistrySaysNo_IsNotServedStale(HttpStatusCode status)
    {
        await using var mesh = await StartAsync(nodes: 1);
        Push(mesh, "v1");
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(mesh.Node, "v1")).Status);
        mesh.Registry.AnswerWith(status);

        var answer = await AskAsync(mesh.Node, "v1");

        Assert.Contains(answer.Status, new[] { HttpStatusCode.NotFound, HttpStatusCode.Forbidden });
        Assert.Null(answer.Stale);
    }

    [Theory]
    [InlineData(HttpStatusCode.TooManyRequests)]
    [InlineData(HttpStatusCode.InternalServerError)]
    [InlineData(HttpStatusCode.GatewayTimeout)]
    public async Task Head_RegistryInTrouble_IsServedStale(HttpStatusCode status)
    {
        await using var mesh = await StartAsync(nodes: 1);
        var (manifest, digest) = Push(mesh, "v1");
        await AskAsync(mesh.Node, "v1", HttpMethod.Head);
        mesh.Registry.AnswerWith(status, retryAfter: "60");

        // The manifest was never read: size and type are those that the registry told with the tag.
        var answer = await AskAsync(mesh.Node, "v1", HttpMethod.Head);

        Assert.Equal((HttpStatusCode.OK, digest.ToString(), (long?)manifest.Length, MediaType), (answer.Status, answer.Digest, answer.Length, answer.MediaType));
        Assert.NotNull(answer.Stale);
    }

    [Fact]
    public async Task Head_RegistryDown_OnlyTheOwnerKnows_IsAskedThere()
    {
        await using var mesh = await StartAsync(nodes: 3);
        var tag = TagOwnedBy(mesh, "node-2", "node-1");
        var (_, digest) = Push(mesh, tag);
        await AskAsync(mesh.Nodes[0], tag, HttpMethod.Head);
        await UntilKnownAsync(mesh.Nodes[1], tag);
        mesh.Registry.AnswerWith(HttpStatusCode.BadGateway);
        using var results = new MetricCollector<long>(mesh.Nodes[2].Get<System.Diagnostics.Metrics.IMeterFactory>(), "Peerd", "peerd.tags.resolved");

        var answer = await AskAsync(mesh.Nodes[2], tag, HttpMethod.Head);

        Assert.Equal((HttpStatusCode.OK, digest.ToString()), (answer.Status, answer.Digest));
        Assert.Equal("stale_mesh", Assert.Single(results.GetMeasurementSnapshot()).Tags["result"]);
    }

    [Fact]
    public async Task Head_RegistryAndOwnerDown_ReplicaIsAsked()
    {
        await using var mesh = await StartAsync(nodes: 3, dead: 1);
        var tag = TagOwnedBy(mesh, "dead-1", "node-2");
        var (_, digest) = Push(mesh, tag);
        await AskAsync(mesh.Nodes[0], tag, HttpMethod.Head);
        await UntilKnownAsync(mesh.Nodes[1], tag);
        mesh.Registry.AnswerWith(HttpStatusCode.BadGateway);

        var answer = await AskAsync(mesh.Nodes[2], tag, HttpMethod.Head);

        Assert.Equal((HttpStatusCode.OK, digest.ToString()), (answer.Status, answer.Digest));
    }

    [Fact]
    public async Task Head_TagWasDeletedAndThenTheRegistryIsDown_NobodyBringsItBack()
    {
        await using var mesh = await StartAsync(nodes: 4);
        var tag = TagOwnedBy(mesh, "node-2", "node-3");
        Push(mesh, tag);
        var key = new TagKey(TestNode.Registry, "library/test", tag);
        await AskAsync(mesh.Nodes[0], tag, HttpMethod.Head);
        await UntilKnownAsync(mesh.Nodes[1], tag);
        await UntilKnownAsync(mesh.Nodes[2], tag);
        mesh.Registry.AnswerWith(HttpStatusCode.NotFound);
        Assert.Equal(HttpStatusCode.NotFound, (await AskAsync(mesh.Nodes[0], tag, HttpMethod.Head)).Status);
        await Wait.UntilAsync(() => mesh.Nodes.Skip(1).Take(2).All(node => node.Get<TagDirectory>().Find(key) is { IsGone: true }), "owner and replica were told");
        mesh.Registry.AnswerWith(HttpStatusCode.BadGateway);

        foreach (var node in mesh.Nodes)
        {
            var answer = await AskAsync(node, tag, HttpMethod.Head);
            Assert.Equal((HttpStatusCode.BadGateway, null), (answer.Status, answer.Stale));
        }
    }

    [Fact]
    public async Task Head_RegistryTakesItsTime_NextAnswerIsItsNewWord()
    {
        await using var mesh = await StartAsync(nodes: 1, dead: 0, "--Peerd:Facade:AnswerTimeout=10s");
        var (_, old) = Push(mesh, "v1");
        Assert.Equal(old.ToString(), (await AskAsync(mesh.Node, "v1", HttpMethod.Head)).Digest);
        var moved = mesh.Registry.AddManifest(Manifest("moved"), MediaType, "v1");

        // The first question is not answered in time, the one behind the answer is.
        var questions = 0;
        mesh.Registry.Before = context => Interlocked.Increment(ref questions) == 1 ? Task.Delay(Timeout.Infinite, context.RequestAborted) : Task.CompletedTask;
        var answer = await AskAsync(mesh.Node, "v1", HttpMethod.Head);

        Assert.Equal(old.ToString(), answer.Digest);
        Assert.NotNull(answer.Stale);
        await Wait.UntilAsync(
            () => mesh.Node.Get<TagDirectory>().Find(new TagKey(TestNode.Registry, "library/test", "v1"))?.Digest == moved, "the registry's new word is known");
    }

    // Its request is over then.
    [Fact]
    public async Task Head_RegistryTakesItsTime_TheTokenOfTheClientIsNotUsedAgain()
    {
        await using var mesh = await StartAsync(nodes: 1, dead: 0, "--Peerd:Facade:AnswerTimeout=10s");
        var (_, old) = Push(mesh, "v1");
        await AskAsync(mesh.Node, "v1", HttpMethod.Head);
        mesh.Registry.Before = context => Task.Delay(Timeout.Infinite, context.RequestAborted);
        using var request = new HttpRequestMessage(HttpMethod.Head, $"/v2/library/test/manifests/v1?ns={TestNode.Registry}");
        request.Headers.TryAddWithoutValidation("Authorization", "Bearer S3cretToken-of-alice");

        using var answer = await mesh.Node.Client.SendAsync(request, TestContext.Current.CancellationToken);
        Assert.Equal(old.ToString(), answer.Headers.GetValues("Docker-Content-Digest").Single());

        // What is asked behind the answer is asked at once, and this is behind it.
        Assert.NotNull((await AskAsync(mesh.Node, "v1", HttpMethod.Head)).Stale);
        Assert.Single(mesh.Registry.Requests, request => request.Authorization is not null);
    }

    [Fact]
    public async Task Find_AnotherSaysOtherwise_OwnWordCountsAndIsWhatIsToldOn()
    {
        await using var mesh = await StartAsync(nodes: 1);
        var (_, digest) = Push(mesh, "v1");
        await AskAsync(mesh.Node, "v1", HttpMethod.Head);
        var tags = mesh.Node.Get<TagDirectory>();
        var key = new TagKey(TestNode.Registry, "library/test", "v1");
        var forged = tags.DescribeOwn(key)!.Clone();
        forged.Digest = Digest.OfSha256("evil"u8).ToString();
        forged.AgeMs = 0;

        tags.Take([forged], "other");

        Assert.Equal(digest, tags.Find(key)?.Digest);
        Assert.Equal(digest.ToString(), tags.DescribeOwn(key)?.Digest);

        // That it has gone since is believed: no wrong image comes of it.
        forged.Digest = string.Empty;
        tags.Take([forged], "other");
        Assert.True(tags.Find(key)?.IsGone);
        Assert.Equal(digest.ToString(), tags.DescribeOwn(key)?.Digest);
    }

    [Theory]
    [InlineData("0s", 0, HttpStatusCode.ServiceUnavailable)]
    [InlineData("1h", 50, HttpStatusCode.OK)]
    [InlineData("1h", 61, HttpStatusCode.ServiceUnavailable)]
    public async Task Head_RegistryDown_OnlyWhatIsOlderThanAllowed_IsRefused(string maxStale, int minutes, HttpStatusCode expected)
    {
        var time = new TimeAhead();
        await using var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Origin:Retries=0", $"--Peerd:Tags:MaxStale={maxStale}"], time: time);
        Push(mesh, "v1");
        Assert.Equal(HttpStatusCode.OK, (await AskAsync(mesh.Node, "v1", HttpMethod.Head)).Status);
        time.Ahead = TimeSpan.FromMinutes(minutes);
        mesh.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable);

        var answer = await AskAsync(mesh.Node, "v1", HttpMethod.Head);

        Assert.Equal((expected, expected == HttpStatusCode.OK), (answer.Status, answer.Stale is not null));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Head_RegistryDown_NodeStartedAnew_KnowsItsTagsUnlessTheFileIsTorn(bool isTorn)
    {
        await using var registry = await Origin.FakeRegistry.StartAsync();
        var folder = Directory.CreateTempSubdirectory("peerd-tags-");
        try
        {
            registry.AddManifest(Manifest("v1"), MediaType, "v1");
            await using (var mesh = await TestMesh.StartAsync(settings: ["--Peerd:Origin:Retries=0"], registry: registry, cache: folder.FullName))
            {
                Assert.Equal(HttpStatusCode.OK, (await AskAsync(mesh.Node, "v1", HttpMethod.Head)).Status);
            }

            var file = Path.Combine(folder.FullName, TagFile.Name);
            if (isTorn)
            {
                var bytes = await File.ReadAllBytesAsync(file);
                await File.WriteAllBytesAsync(file, bytes[..^5]);
            }

            registry.AnswerWith(HttpStatusCode.ServiceUnavailable);
            await using var again = await TestMesh.StartAsync(settings: ["--Peerd:Origin:Retries=0"], registry: registry, cache: folder.FullName);

            var answer = await AskAsync(again.Node, "v1", HttpMethod.Head);

            Assert.Equal(isTorn ? HttpStatusCode.ServiceUnavailable : HttpStatusCode.OK, answer.Status);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task Announce_ManyHoldersOfASmallContent_IsCopiedOnce()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, peers: 12);
        var sample = mesh.UnknownOwnedBy("node-1");
        foreach (var peer in mesh.Peers)
        {
            peer.Answer = async (range, answers, _) =>
            {
                foreach (var answer in FakePeer.Honest(range, sample))
                {
                    await answers.WriteAsync(answer);
                }
            };
        }

        await Task.WhenAll(mesh.Peers.Select(peer => peer.AnnounceAsync(mesh.Node, sample)));
        await Wait.UntilAsync(() => Has(mesh.Node, sample.Digest), "the owner has a copy");

        Assert.Equal(1, mesh.Peers.Sum(peer => peer.RangesAsked));
        Assert.Empty(mesh.Registry.Requests);
    }

    [Fact]
    public async Task Announce_ManyHoldersThatHaveNothing_NeverLeadToTheRegistry()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, peers: 4);
        var sample = mesh.UnknownOwnedBy("node-1");
        foreach (var peer in mesh.Peers)
        {
            await peer.AnnounceAsync(mesh.Node, sample);
        }

        await Wait.UntilAsync(() => mesh.Peers.Any(peer => peer.RangesAsked > 0), "a holder was asked");

        Assert.Empty(mesh.Registry.Requests);
        Assert.False(Has(mesh.Node, sample.Digest));
    }

    [Fact]
    public async Task Get_WhileACopyIsFetched_JoinsItAndLeavesTheRegistryAlone()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, peers: 1);
        var sample = mesh.BlobOwnedBy(1000, "node-1");
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            await gate.Task;
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);
        await Wait.UntilAsync(() => mesh.Peer.RangesAsked == 1, "the copy is being fetched");

        var pull = mesh.Node.GetAsync(sample.Digest);
        await Task.Delay(100);
        gate.SetResult();

        (await pull).ShouldBe(sample.Bytes);
        Assert.Equal((1, 0), (mesh.Peer.RangesAsked, mesh.Registry.RequestsFor(sample.Digest)));
    }

    [Fact]
    public async Task Get_CopyCannotBeFetched_ComesFromTheRegistry()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, peers: 1);
        var sample = mesh.BlobOwnedBy(1000, "node-1");
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);
        await Wait.UntilAsync(() => mesh.Peer.RangesAsked > 0, "the copy was tried");

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Announce_LargeContent_IsNotCopied()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 1, peers: 1);
        var large = mesh.BlobOwnedBy((1024 * 1024) + 1, "node-1");
        var small = mesh.UnknownOwnedBy("node-1");
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, range.Digest == small.Digest.ToString() ? small : large))
            {
                await answers.WriteAsync(answer);
            }
        };
        using var first = await mesh.Peer.AnnounceAsync(mesh.Node, large);
        await first.RequestStream.WriteAsync(new AnnounceRequest
        {
            Sequence = 2,
            Contents = { new Availability { Digest = small.Digest.ToString(), Size = small.Bytes.Length, Complete = true } },
        });

        // Told later, the small one is here: the large one would have been begun before.
        await Wait.UntilAsync(() => Has(mesh.Node, small.Digest), "the small content was copied");

        Assert.Equal(1, mesh.Peer.RangesAsked);
        Assert.False(mesh.Node.Cache.TryPeek(large.Digest, out _));
    }

    [Fact]
    public async Task Announce_ManifestOfTwoMebibytes_IsCopiedByOwnerAndReplicaAndALayerOfThatSizeIsNot()
    {
        const int Size = 2 << 20;
        await using var mesh = await TestMesh.StartAsync(nodes: 2, peers: 1);
        var layer = mesh.BlobOwnedBy(Size, "node-1", "node-2");
        var tooLarge = mesh.BlobOwnedBy((4 << 20) + 1, "node-1", "node-2");
        var manifest = mesh.BlobOwnedBy(Size, "node-1", "node-2");
        var asked = new ConcurrentQueue<string>();
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            asked.Enqueue(range.Digest);
            foreach (var answer in FakePeer.Honest(range, manifest))
            {
                await answers.WriteAsync(answer);
            }
        };

        // In this order: what is to be copied is begun in the order in which it is told.
        foreach (var node in mesh.Nodes)
        {
            await mesh.Peer.AnnounceAsync(node, [Of(layer, "application/vnd.oci.image.layer.v1.tar+gzip"), Of(tooLarge, MediaType), Of(manifest, MediaType)]);
        }

        await Wait.UntilAsync(() => mesh.Nodes.All(node => Has(node, manifest.Digest)), "owner and replica have the manifest");

        Assert.Equal([manifest.Digest.ToString()], asked.Distinct());
        Assert.Empty(mesh.Registry.Requests);

        static Availability Of(SampleContent content, string mediaType) => new() { Digest = content.Digest.ToString(), Size = content.Bytes.Length, MediaType = mediaType, Complete = true };
    }

    [Fact]
    public async Task Pull_RegistryDownAndFirstPullerGone_ComesFromTheCopies()
    {
        await using var mesh = await StartAsync(nodes: 4);
        var config = OwnedBy(mesh, "{\"config\":0}", "node-2", "node-3");
        mesh.Registry.AddBlob(config);
        var (manifest, digest, tag) = ManifestOwnedBy(mesh, "node-2", "node-3");
        Assert.Equal(manifest, (await AskAsync(mesh.Nodes[0], tag)).Body);
        (await mesh.Nodes[0].GetAsync(Digest.OfSha256(config))).ShouldBe(config);
        await Wait.UntilAsync(
            () => mesh.Nodes.Skip(1).Take(2).All(node => Has(node, digest) && Has(node, Digest.OfSha256(config))), "owner and replica have copies");
        Assert.False(Has(mesh.Nodes[3], digest));
        Assert.Equal((1, 1), (mesh.Registry.RequestsFor(digest), mesh.Registry.RequestsFor(Digest.OfSha256(config))));
        mesh.Leave("node-1");
        await mesh.Nodes[0].StopAsync();
        await Task.WhenAll(mesh.Nodes.Skip(1).Select(node => node.WaitForMembersAsync(3)));
        mesh.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable);

        var byTag = await AskAsync(mesh.Nodes[3], tag);
        var pulled = await mesh.Nodes[3].GetAsync(Digest.OfSha256(config));

        Assert.Equal((HttpStatusCode.OK, digest.ToString()), (byTag.Status, byTag.Digest));
        Assert.Equal(manifest, byTag.Body);
        pulled.ShouldBe(config);
    }

    [Fact]
    public async Task Announce_HostilePointers_AreLeftOut()
    {
        await using var mesh = await StartAsync(nodes: 1);
        var good = new TagPointer { Registry = TestNode.Registry, Repository = "library/test", Tag = "good", Digest = Digest.OfSha256("x"u8).ToString(), MediaType = MediaType, Size = 5, AgeMs = 1000 };
        TagPointer[] bad =
        [
            Like(good, pointer => pointer.Registry = "http://x"),
            Like(good, pointer => pointer.Repository = "../etc"),
            Like(good, pointer => pointer.Tag = "a b"),
            Like(good, pointer => pointer.Digest = "sha256:abc"),
            Like(good, pointer => pointer.MediaType = "a\r\nX-Evil: 1"),
            Like(good, pointer => pointer.MediaType = new string('a', 300)),
            Like(good, pointer => pointer.Size = -1),
            Like(good, pointer => pointer.Size = 1L << 40),
            Like(good, pointer => pointer.AgeMs = ulong.MaxValue),
        ];
        var tags = mesh.Node.Get<TagDirectory>();

        Assert.All(bad, pointer => Assert.False(tags.TryRead(pointer, out _, out _)));
        using var call = new PeerService.PeerServiceClient(mesh.Node.Channel).Announce();
        await call.RequestStream.WriteAsync(new AnnounceRequest { Sequence = 1, Member = new Member { Node = "evil", Incarnation = 1 }, Tags = { bad, good } });
        await call.ResponseStream.MoveNext(CancellationToken.None);

        Assert.Equal(good.Digest, tags.Find(new TagKey(TestNode.Registry, "library/test", "good"))?.Digest.ToString());
        await call.RequestStream.CompleteAsync();
    }

    [Fact]
    public async Task Lookup_OfATag_IsAnsweredOnceAndEnds()
    {
        await using var mesh = await StartAsync(nodes: 1);
        var client = new PeerService.PeerServiceClient(mesh.Node.Channel);
        using var unknown = client.Lookup();
        await unknown.RequestStream.WriteAsync(new LookupRequest { Tag = new WantTag { Registry = "reg.test", Repository = "a", Tag = "v1" } });
        using var malformed = client.Lookup();
        await malformed.RequestStream.WriteAsync(new LookupRequest { Tag = new WantTag { Registry = "reg.test", Repository = "A/..", Tag = "v1" } });

        Assert.True(await unknown.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Null(unknown.ResponseStream.Current.Tag);
        Assert.False(await unknown.ResponseStream.MoveNext(CancellationToken.None));
        Assert.Equal(StatusCode.InvalidArgument, (await Assert.ThrowsAsync<RpcException>(() => malformed.ResponseStream.MoveNext(CancellationToken.None))).StatusCode);
    }

    private static TagPointer Like(TagPointer pointer, Action<TagPointer> change)
    {
        var changed = pointer.Clone();
        changed.Tag = "bad";
        change(changed);
        return changed;
    }

    private static Task<TestMesh> StartAsync(int nodes, int dead = 0, params string[] settings) =>
        TestMesh.StartAsync(nodes: nodes, dead: dead, settings: ["--Peerd:Origin:Retries=0", .. settings]);

    private static (byte[] Bytes, Digest Digest) Push(TestMesh mesh, string tag)
    {
        var bytes = Manifest(tag);
        return (bytes, mesh.Registry.AddManifest(bytes, MediaType, tag));
    }

    private static byte[] Manifest(string name) => Encoding.UTF8.GetBytes($$"""{"schemaVersion":2,"name":"{{name}}","mediaType":"{{MediaType}}"}""");

    private static byte[] OwnedBy(TestMesh mesh, string text, params string[] responsible) => Candidates(text)
        .Select(candidate => Encoding.UTF8.GetBytes(candidate)).First(bytes => Responsible(mesh, Digest.OfSha256(bytes)).SequenceEqual(responsible));

    private static (byte[] Bytes, Digest Digest, string Tag) ManifestOwnedBy(TestMesh mesh, params string[] responsible)
    {
        var tag = TagOwnedBy(mesh, responsible);
        var bytes = Candidates("m").Select(Manifest).First(candidate => Responsible(mesh, Digest.OfSha256(candidate)).SequenceEqual(responsible));
        return (bytes, mesh.Registry.AddManifest(bytes, MediaType, tag), tag);
    }

    private static string TagOwnedBy(TestMesh mesh, params string[] responsible) =>
        Candidates("v").First(tag => Responsible(mesh, new TagKey(TestNode.Registry, "library/test", tag).Place).SequenceEqual(responsible));

    private static IEnumerable<string> Candidates(string prefix) => Enumerable.Range(0, 10_000).Select(number => $"{prefix}{number}");

    private static string[] Responsible(TestMesh mesh, Digest place)
    {
        var ring = mesh.Node.Get<RingSource>().Current;
        var found = new int[ProtocolConstants.Replicas];
        return [.. found.Take(ring.FindResponsible(place, found)).Select(index => ring[index].Name)];
    }

    private static bool Has(TestNode node, Digest digest) => node.Cache.TryPeek(digest, out var content) && content.IsVerified;

    private static Task UntilKnownAsync(TestNode node, string tag) =>
        Wait.UntilAsync(() => node.Get<TagDirectory>().Find(new TagKey(TestNode.Registry, "library/test", tag)) is not null, "the responsible node was told of the tag");

    private static async Task<Answer> AskAsync(TestNode node, string tag, HttpMethod? method = null)
    {
        using var request = new HttpRequestMessage(method ?? HttpMethod.Get, $"/v2/library/test/manifests/{tag}?ns={TestNode.Registry}");
        using var response = await node.Client.SendAsync(request);
        return new Answer(
            response.StatusCode,
            await response.Content.ReadAsByteArrayAsync(),
            response.Content.Headers.ContentLength,
            response.Content.Headers.ContentType?.MediaType,
            Header(response, "Docker-Content-Digest"),
            Header(response, "Peerd-Stale-Seconds"),
            Header(response, "Warning"));
    }

    private static string? Header(HttpResponseMessage response, string name) =>
        response.Headers.NonValidated.TryGetValues(name, out var values) ? values.ToString() : null;

    private sealed record Answer(HttpStatusCode Status, byte[] Body, long? Length, string? MediaType, string? Digest, string? Stale, string? Warning);
}
