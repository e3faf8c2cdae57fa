using Microsoft.Extensions.Logging.Testing;

namespace Peerd.Tests.Facade;

/// <summary>Each request has a name, in its answer and in all that is logged for it.</summary>
public sealed class RequestIdTests
{
    private const string Header = "X-Request-Id";

    [Theory]
    [InlineData("/v2/")]
    [InlineData("/v2/team/app/manifests/nowhere?ns=reg.test")]
    [InlineData("/v2/?")]
    [InlineData("/blobs/nonsense")]
    [InlineData("/elsewhere")]
    public async Task Answer_NoIdGiven_HasOneOfItsOwn(string target)
    {
        await using var host = await FacadeHost.StartAsync();

        var first = (await host.GetAsync(target)).Header(Header);
        var second = (await host.GetAsync(target)).Header(Header);

        Assert.NotEmpty(first!);
        Assert.NotEmpty(second!);
        Assert.NotEqual(first, second);
    }

    [Theory]
    [InlineData("a")]
    [InlineData("0af7651916cd43dd-8448eb211c80319c")]
    [InlineData("pull_7.layer:3")]
    [InlineData("0123456789012345678901234567890123456789012345678901234567890123")]
    public async Task Answer_HarmlessIdGiven_HasIt(string id)
    {
        await using var host = await FacadeHost.StartAsync();

        Assert.Equal(id, (await host.GetAsync("/v2/", $"{Header}: {id}")).Header(Header));
    }

    [Theory]
    [InlineData("01234567890123456789012345678901234567890123456789012345678901234")]
    [InlineData("two words")]
    [InlineData("a\tb")]
    [InlineData("{Request}")]
    [InlineData("a\"b")]
    [InlineData("a%0ab")]
    [InlineData("")]
    public async Task Answer_OtherIdGiven_HasOneOfItsOwn(string id)
    {
        await using var host = await FacadeHost.StartAsync();

        var answer = await host.GetAsync("/v2/", $"{Header}: {id}");

        Assert.NotEqual(id, answer.Header(Header));
        Assert.NotEmpty(answer.Header(Header)!);
    }

    [Fact]
    public async Task Answer_TwoIdsGiven_HasOneOfItsOwn()
    {
        await using var host = await FacadeHost.StartAsync();

        Assert.DoesNotContain((await host.GetAsync("/v2/", $"{Header}: one", $"{Header}: two")).Header(Header), (string[])["one", "two", "one, two"]);
    }

    [Fact]
    public async Task Logs_OfARequest_HaveItsId()
    {
        await using var host = await FacadeHost.StartAsync();

        await host.GetAsync("/v2/team/app/manifests/nowhere?ns=reg.test", $"{Header}: pull-7");
        await Hosting.Wait.UntilAsync(() => OurLogs(host).Any(record => record.Message.StartsWith("Answered", StringComparison.Ordinal)), "the request is logged");

        Assert.All(OurLogs(host), record => Assert.Contains(
            record.Scopes.OfType<IEnumerable<KeyValuePair<string, object?>>>(), scope => scope.Contains(new("Request", "pull-7")) && scope.ToString() == "request pull-7"));
    }

    private static IEnumerable<FakeLogRecord> OurLogs(FacadeHost host) =>
        host.Logs.GetSnapshot().Where(record => record.Category?.StartsWith("Peerd.Node.Facade", StringComparison.Ordinal) ?? false);
}
