using System.Globalization;
using System.Net;
using Peerd.Node.Swarm;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>Reading through whole nodes: facade, download, mesh, cache and origin together.</summary>
public sealed class ReadPathTests
{
    private const int MiB = 1024 * 1024;

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(65_535)]
    [InlineData(65_536)]
    [InlineData(65_537)]
    [InlineData(MiB)]
    [InlineData(MiB + 1)]
    [InlineData((2 * MiB) + 4711)]
    public async Task Get_Whole_IsRightColdAndWarmAndFromThePeer(int size)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(size);

        foreach (var node in new[] { mesh.Nodes[0], mesh.Nodes[0], mesh.Nodes[1] })
        {
            if (node == mesh.Nodes[1])
            {
                await Wait.UntilAsync(() => mesh.Nodes.Exists(owner => owner.Directory.Find(sample.Digest, mesh.Node.Name) is { Complete: true }), "it is announced");
            }

            var answer = await node.GetAsync(sample.Digest);
            answer.ShouldBe(sample.Bytes);
            Assert.Equal(size, answer.Headers.ContentLength);
        }

        Assert.Equal(size, mesh.Registry.BytesOf(sample.Digest));
    }

    [Theory]
    [InlineData("bytes=0-0")]
    [InlineData("bytes=100-70000")]
    [InlineData("bytes=65536-")]
    [InlineData("bytes=-1")]
    [InlineData("bytes=-100000")]
    [InlineData("bytes=2000000-2000001")]
    [InlineData("bytes=0-")]
    public async Task Get_RangeOfUncachedBlob_IsRight(string range)
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob((3 * MiB) + 11);

        var answer = await mesh.Node.GetAsync(sample.Digest, range);

        Assert.Equal(HttpStatusCode.PartialContent, answer.Status);
        var served = answer.Headers.ContentRange!;
        answer.ShouldBe(sample.Bytes.AsSpan((int)served.From!, (int)(served.To! - served.From! + 1)));
        (await mesh.Nodes[1].GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Get_ManyRangesInAnyOrder_AreRight()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob((5 * MiB) + 11);
        var random = new Random(1);
        var ranges = Enumerable.Range(0, 64).Select(_ => random.Next(sample.Bytes.Length)).Select(first => (First: first, Last: Math.Min(sample.Bytes.Length - 1, first + random.Next(300_000)))).ToList();

        var answers = await Task.WhenAll(ranges.Select((range, i) => mesh.Nodes[i % 2].GetAsync(sample.Digest, $"bytes={range.First}-{range.Last}")));

        foreach (var (answer, (first, last)) in answers.Zip(ranges))
        {
            answer.ShouldBe(sample.Bytes.AsSpan(first, last - first + 1));
        }
    }

    [Fact]
    public async Task Get_SixteenAtOnceOfUncachedBlob_ReadsTheOriginOnce()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob((4 * MiB) + 3);

        var answers = await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => mesh.Node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
        Assert.Equal(sample.Bytes.Length, mesh.Registry.BytesOf(sample.Digest));
    }

    [Fact]
    public async Task Get_HerdOfNodes_ReadsTheOriginOnce()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 5);
        var sample = mesh.Blob((9 * MiB) + 3);

        var answers = await Task.WhenAll(mesh.Nodes.Concat(mesh.Nodes).Select(node => node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
        Assert.Equal(0, mesh.Nodes.Sum(node => node.IntegrityFailures));

        // On a machine that has much else to do one may fall so far behind that its owner has others read what it was granted; that is bounded.
        var taken = mesh.Nodes.SelectMany(node => node.Logs.GetSnapshot()).Where(record => record.Message.Contains("took back", StringComparison.Ordinal))
            .Sum(record => int.Parse(record.GetStructuredStateValue("Segments")!, CultureInfo.InvariantCulture));
        Assert.InRange(taken, 0, (2 * new CoordinatorPolicy().LeastTakenFromSlow) - 1);
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), sample.Bytes.Length, (sample.Bytes.Length * 102L / 100) + (taken * sample.Layout.SegmentSize));
    }

    [Fact]
    public async Task Get_OneByteOfALargeBlob_ReadsLittleMore()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(80 * MiB);

        (await mesh.Node.GetAsync(sample.Digest, "bytes=5-5")).ShouldBe(sample.Bytes.AsSpan(5, 1));

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "the download has ended");
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), MiB, 50L * MiB);
    }

    [Fact]
    public async Task Get_OpenRangeThatIsBrokenOff_ReadsLittleMore()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(160 * MiB);

        using (var response = await mesh.Node.SendAsync(sample.Digest, "bytes=5-"))
        {
            await (await response.Content.ReadAsStreamAsync()).ReadExactlyAsync(new byte[MiB]);
            await Wait.UntilAsync(() => mesh.Registry.BytesOf(sample.Digest) > 20 * MiB, "it reads ahead");
        }

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "the download has ended");
        Assert.InRange(mesh.Registry.BytesOf(sample.Digest), MiB, 100L * MiB);
    }

    [Fact]
    public async Task Get_SecondClientKnowsOnlyARepositoryThatIsRefused_BothGetTheBytes()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(20 * MiB);
        using var held = mesh.Registry.HoldBodies();
        var first = mesh.Node.GetAsync(sample.Digest);
        await Wait.UntilAsync(() => mesh.Registry.Requests.Count > 0, "the origin is being read");
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/library/test/manifests/{sample.Digest}?ns={TestNode.Registry}");
        var second = mesh.Node.Client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        await Wait.UntilAsync(() => mesh.Node.Logs.GetSnapshot().Any(record => record.Message.Contains("GET Manifest", StringComparison.Ordinal)), "the second client has asked");
        held.Dispose();

        (await first).ShouldBe(sample.Bytes);
        (await second).Dispose();
    }

    [Fact]
    public async Task Get_ClientVanishes_DownloadEndsAfterTheLinger()
    {
        await using var mesh = await TestMesh.StartAsync();
        var sample = mesh.Blob(4 * MiB);
        using var held = mesh.Registry.HoldBodies();
        using (var response = await mesh.Node.SendAsync(sample.Digest))
        {
            await (await response.Content.ReadAsStreamAsync()).ReadExactlyAsync(new byte[1000]);
            Assert.Equal(1, mesh.Node.Downloads.Count);
        }

        await Wait.UntilAsync(() => mesh.Node.Downloads.Count == 0, "the download has ended");

        // What is here stays of use, and nothing of the former download stands in the way.
        var requests = mesh.Registry.Requests.Count;
        held.Dispose();
        Assert.Equal(requests, mesh.Registry.Requests.Count);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Get_ManyClientsVanish_NothingIsLeftOfThem()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var samples = Enumerable.Range(0, 8).Select(_ => mesh.Blob(2 * MiB)).ToList();
        await Task.WhenAll(samples.Select(async (sample, i) =>
        {
            using var response = await mesh.Nodes[i % 2].SendAsync(sample.Digest, i % 3 == 0 ? "bytes=-5" : null);
            Assert.True(response.IsSuccessStatusCode);
        }));

        await Wait.UntilAsync(() => mesh.Nodes.TrueForAll(node => node.Downloads.Count == 0), "all downloads have ended");
        foreach (var sample in samples)
        {
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }
    }

    [Fact]
    public async Task Head_UncachedAndUnknown_TellsSizeOrNotFound()
    {
        await using var mesh = await TestMesh.StartAsync(nodes: 2);
        var sample = mesh.Blob(MiB);
        foreach (var (digest, status) in new[] { (sample.Digest, HttpStatusCode.OK), (TestMesh.NewSample(1).Digest, HttpStatusCode.NotFound) })
        {
            using var request = new HttpRequestMessage(HttpMethod.Head, $"/v2/library/test/blobs/{digest}?ns={TestNode.Registry}");
            using var response = await mesh.Node.Client.SendAsync(request);
            Assert.Equal(status, response.StatusCode);
            Assert.True(status != HttpStatusCode.OK || response.Content.Headers.ContentLength == MiB);
        }
    }
}
