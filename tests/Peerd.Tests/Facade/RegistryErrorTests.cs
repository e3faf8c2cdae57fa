using System.Net;
using Peerd.Node.Content;
using Peerd.Node.Facade;
using Peerd.Node.Origin;

namespace Peerd.Tests.Facade;

public sealed class RegistryErrorTests
{
    [Theory]
    [InlineData(404, 404, RegistryError.BlobUnknown)]
    [InlineData(410, 404, RegistryError.BlobUnknown)]
    [InlineData(401, 404, RegistryError.Unauthorized)]
    [InlineData(403, 403, RegistryError.Denied)]
    [InlineData(451, 403, RegistryError.Denied)]
    [InlineData(429, 503, RegistryError.TooManyRequests)]
    [InlineData(408, 502, RegistryError.Unavailable)]
    [InlineData(304, 502, RegistryError.Unavailable)]
    [InlineData(500, 502, RegistryError.Unavailable)]
    [InlineData(502, 502, RegistryError.Unavailable)]
    [InlineData(503, 503, RegistryError.Unavailable)]
    [InlineData(504, 504, RegistryError.Unavailable)]
    [InlineData(0, 502, RegistryError.Unavailable)]
    public void Of_Facts_LetsContainerdGoOn(int status, int expected, string code)
    {
        var error = RegistryError.Of(new ContentFacts((HttpStatusCode)status), OriginKind.Blob);

        Assert.Equal((expected, code), ((int)error.Status, error.Code));
        Assert.NotEqual(string.Empty, error.Message);
    }

    [Fact]
    public void Of_UnreachableOrigin_IsBadGateway() =>
        Assert.Equal(HttpStatusCode.BadGateway, RegistryError.Of(new OriginResponse { Outcome = OriginOutcome.Unreachable, Error = "no route" }).Status);

    [Fact]
    public void Of_LongText_IsCut() =>
        Assert.Equal(512, RegistryError.Of(new ContentFacts(HttpStatusCode.BadGateway, Error: new string('x', 5000)), OriginKind.Blob).Message.Length);
}
