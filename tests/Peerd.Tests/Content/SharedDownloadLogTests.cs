using Microsoft.Extensions.Logging.Testing;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Content;

/// <summary>A download is of all its readers: what it logs has the name of none of their requests.</summary>
public sealed class SharedDownloadLogTests
{
    [Fact]
    public async Task Logs_OfADownload_HaveNoRequestId()
    {
        // Neither owner nor replica answers, which is logged by the download; and its origin breaks off.
        await using var mesh = await TestMesh.StartAsync(dead: 2);
        var sample = mesh.BlobOwnedBy(300_001, "dead-1", "dead-2");
        mesh.Registry.Fail(Origin.FakeFault.Truncate, times: 1);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"/v2/library/test/blobs/{sample.Digest}?ns={TestNode.Registry}");
        request.Headers.TryAddWithoutValidation("X-Request-Id", "the-first-client");

        using var answer = await mesh.Node.Client.SendAsync(request);
        Assert.Equal(sample.Bytes, await answer.Content.ReadAsByteArrayAsync());

        await Wait.UntilAsync(() => Named(mesh, "Facade").Any(record => record.Message.StartsWith("Answered", StringComparison.Ordinal)), "the request is over");
        Assert.All(Named(mesh, "Facade"), record => Assert.Contains("the-first-client", Scopes(record), StringComparison.Ordinal));
        Assert.Contains(Named(mesh, "Swarm"), record => record.Message.Contains("Neither owner nor replica", StringComparison.Ordinal));
        Assert.Contains(Named(mesh, "Origin"), record => record.Message.Contains("206", StringComparison.Ordinal));
        Assert.All(Named(mesh, "Swarm").Concat(Named(mesh, "Origin")), record => Assert.Empty(Scopes(record)));
    }

    private static IEnumerable<FakeLogRecord> Named(TestMesh mesh, string folder) =>
        mesh.Node.Logs.GetSnapshot().Where(record => record.Category?.StartsWith($"Peerd.Node.{folder}", StringComparison.Ordinal) ?? false);

    private static string Scopes(FakeLogRecord record) => string.Join(' ', record.Scopes);
}
