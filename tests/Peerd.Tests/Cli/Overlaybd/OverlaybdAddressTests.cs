using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Tests.Cli.Overlaybd;

public sealed class OverlaybdAddressTests
{
    [Theory]
    [InlineData("http://localhost:30000/blobs", "127.0.0.1:30000")]
    [InlineData("http://127.0.0.1:1/blobs", "127.0.0.1:1")]
    [InlineData("http://127.1.2.3:65535/blobs", "127.1.2.3:65535")]
    [InlineData("http://localhost/blobs", "127.0.0.1:80")]
    public void Fault_AddressOfAFacade_HasNone(string text, string tried)
    {
        var address = OverlaybdAddress.Of(text);

        Assert.Null(address.Fault);
        Assert.Equal(tried, address.Tried.ToString());
    }

    [Theory]
    [InlineData("", "does not begin with http://, and without that")]
    [InlineData("localhost:30000/blobs", "does not begin with http://, and without that")]
    [InlineData("https://localhost:30000/blobs", "does not begin with http://, the only")]
    [InlineData("HTTP://localhost:30000/blobs", "does not begin with http://, the only")]
    [InlineData("http://localhost:30000/blobs?a=b", "query or a fragment")]
    [InlineData("http://localhost:30000?", "query or a fragment")]
    [InlineData("http://localhost:30000/blobs#", "query or a fragment")]
    [InlineData("http://u:p@localhost:30000/blobs", "has a character")]
    [InlineData("http://localhost:30000/blobs\"", "has a character")]
    [InlineData("http://localhost:30000/blobs\\", "has a character")]
    [InlineData("http://localhost:30000/blobs\n", "has a character")]
    [InlineData("http://localhost:30000/blöbs", "has a character")]
    [InlineData("http://node-1:30000/blobs", "its host is neither")]
    [InlineData("http://10.0.0.1:30000/blobs", "its host is neither")]
    [InlineData("http://0.0.0.0:30000/blobs", "its host is neither")]
    [InlineData("http://[::1]:30000/blobs", "its host is neither")]
    [InlineData("http://[::1]/blobs", "its host is neither")]
    [InlineData("http://127.1:30000/blobs", "its host is neither")]
    [InlineData("http://127.0.0.01:30000/blobs", "its host is neither")]
    [InlineData("http://LOCALHOST:30000/blobs", "its host is neither")]
    [InlineData("http:///blobs", "its host is neither")]
    [InlineData("http://localhost:0/blobs", "its port")]
    [InlineData("http://localhost:65536/blobs", "its port")]
    [InlineData("http://localhost:/blobs", "its port")]
    [InlineData("http://localhost:x/blobs", "its port")]
    [InlineData("http://localhost:30000", "its path")]
    [InlineData("http://localhost:30000/", "its path")]
    [InlineData("http://localhost:30000/blobs/", "its path")]
    [InlineData("http://localhost:30000/dadip2p", "its path")]
    public void Fault_AnythingElse_IsTold(string text, string expected) =>
        Assert.Contains(expected, OverlaybdAddress.Of(text).Fault, StringComparison.Ordinal);

    [Theory]
    [InlineData("http://localhost:30000/blobs", "http://localhost:30000/blobs")]
    [InlineData("http://user:S3cret@host/", "(hidden: contains '@')")]
    [InlineData("http://host/p?sig=S3cret", "http://host/p?…")]
    [InlineData("a\nb", "a b")]
    public void Shown_AnyAddress_HasNoSecret(string address, string expected) => Assert.Equal(expected, OverlaybdAddress.Shown(address));

    [Fact]
    public void Shown_LongText_IsCut() => Assert.Equal(201, OverlaybdAddress.Shown(new string('a', 10_000)).Length);
}
