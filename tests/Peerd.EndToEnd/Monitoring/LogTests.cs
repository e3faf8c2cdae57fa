using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Monitoring;

/// <summary>What a node writes to its log, for programs that read it.</summary>
public sealed class LogTests : LabTest
{
    private const string IdHeader = "X-Request-Id";
    private const string GivenId = "given-by-the-client";

    private static readonly string[] Levels = ["Trace", "Debug", "Information", "Warning", "Error", "Critical"];
    private static readonly TimeSpan StopLimit = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task Json_OfANodeWithRequests_EachLineHasATimeAndALevelAndThoseOfARequestItsName()
    {
        var node = PeerdNode.Create(Lab, "n1");

        // A registry that is not there.
        var upstream = new Upstream("registry.test:5000", new Uri($"http://127.0.0.1:{FreePorts.Take()}"));
        var configuration = node.Configure([node], upstream);
        configuration["Peerd"]!["Log"] = new JsonObject { ["Format"] = "json", ["Level"] = "Trace" };
        await node.StartAsync(configuration);
        var blob = $"v2/team/app/blobs/sha256:{new string('a', 64)}?ns={upstream.Name}";

        var served = await AskAsync(node, "v2/", HttpStatusCode.OK);
        var refused = await AskAsync(node, "nothing", HttpStatusCode.NotFound);
        var failed = await AskAsync(node, blob, HttpStatusCode.BadGateway);
        var given = await AskAsync(node, "v2/", HttpStatusCode.OK, GivenId);
        Assert.Equal(0, await node.Process.StopAsync(StopLimit));

        Assert.Equal(GivenId, given);
        var lines = node.Process.Output.Select(line => JsonNode.Parse(line)!.AsObject()).ToArray();
        Assert.Empty(node.Process.Errors);
        Assert.All(lines, line =>
        {
            Assert.True(DateTimeOffset.TryParseExact($"{line["Timestamp"]}", "yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture, DateTimeStyles.None, out _));
            Assert.Contains($"{line["LogLevel"]}", Levels);
            Assert.NotEmpty($"{line["Message"]}");
            Assert.NotEmpty($"{line["Category"]}");
        });
        var answered = lines.Where(line => $"{line["Message"]}".StartsWith("Answered ", StringComparison.Ordinal)).ToArray();
        Assert.Equal(
            new[] { (served, "Debug", 200), (refused, "Debug", 404), (failed, "Debug", 502), (failed, "Warning", 502), (given, "Debug", 200) }.Order(),
            answered.Select(line => (RequestOf(line)!, $"{line["LogLevel"]}", line["State"]!["Status"]!.GetValue<int>())).Order());
    }

    [Theory]
    [InlineData(null, @"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (trce|dbug|info|warn|fail|crit): Peerd\.")]
    [InlineData("none", "^(trce|dbug|info|warn|fail|crit): Peerd\\.")]
    public async Task Text_OfANode_EachLineHasATimeUnlessItIsToHaveNone(string? time, string expected)
    {
        var node = PeerdNode.Create(Lab, "n1");
        var configuration = node.Configure([node]);
        configuration["Peerd"]!["Log"] = new JsonObject { ["Level"] = "Debug" };
        if (time is not null)
        {
            configuration["Peerd"]!["Log"]!["Time"] = time;
        }

        var before = TimeProvider.System.GetUtcNow();
        await node.StartAsync(configuration);
        Assert.Equal(0, await node.Process.StopAsync(StopLimit));

        // Other time zones than that of this machine are of no interest to who compares the logs of nodes.
        Assert.NotEmpty(node.Process.Output);
        Assert.All(node.Process.Output, line => Assert.Matches(expected, line));
        if (time is null)
        {
            Assert.All(node.Process.Output, line => Assert.InRange(DateTimeOffset.Parse(line[..24], CultureInfo.InvariantCulture), before.AddSeconds(-1), TimeProvider.System.GetUtcNow()));
        }
    }

    private static async Task<string> AskAsync(PeerdNode node, string target, HttpStatusCode expected, string? id = null)
    {
        using var client = new HttpClient { Timeout = PullTimeout };
        using var request = new HttpRequestMessage(HttpMethod.Get, new Uri(node.Facade, target));
        if (id is not null)
        {
            request.Headers.Add(IdHeader, id);
        }

        using var answer = await client.SendAsync(request);
        await answer.Content.ReadAsByteArrayAsync();
        Assert.Equal(expected, answer.StatusCode);
        return Assert.Single(answer.Headers.GetValues(IdHeader));
    }

    private static string? RequestOf(JsonObject line) =>
        line["Scopes"]?.AsArray().Select(scope => scope is JsonObject fields ? fields["Request"]?.GetValue<string>() : null).FirstOrDefault(name => name is not null);
}
