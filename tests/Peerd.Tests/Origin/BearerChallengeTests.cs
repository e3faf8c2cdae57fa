using System.Net.Http.Headers;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class BearerChallengeTests
{
    [Theory]
    [InlineData("""realm="https://a/t",service="s",scope="repository:x:pull" """, "https://a/t", "s", "repository:x:pull")]
    [InlineData("""realm="https://a/t",service="s",scope="repository:x:pull,push" """, "https://a/t", "s", "repository:x:pull,push")]
    [InlineData("""realm="https://a/t" , service="a, b" ,, error="invalid_token" """, "https://a/t", "a, b", "")]
    [InlineData("""REALM="https://a/t",Service=plain,scope=repository:x/y:pull""", "https://a/t", "plain", "repository:x/y:pull")]
    [InlineData("""service="quo\"ted",realm="https://a/t?x=\\1" """, "https://a/t?x=\\1", "quo\"ted", "")]
    [InlineData("realm = \"https://a/t\"\t, scope = \"\"", "https://a/t", "", "")]
    [InlineData("""realm="https://a/t",x="realm=\"https://evil\"" """, "https://a/t", "", "")]
    public void Parse_WellFormed_HasTheParameters(string text, string realm, string service, string scope) =>
        Assert.Equal(new BearerChallenge(realm, service, scope), BearerChallenge.Parse(text));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("""service="s" """)]
    [InlineData("""realm="" """)]
    [InlineData("""realm="https://a/t""")]
    [InlineData("""realm="https://a/t"x""")]
    [InlineData("""realm="https://a",realm="https://b" """)]
    [InlineData("""realm="https://a",scope=a b""")]
    [InlineData("realm")]
    [InlineData("realm=")]
    [InlineData("=x")]
    [InlineData("""realm="https://a",bad name=x""")]
    public void Parse_Malformed_IsNull(string? text) => Assert.Null(BearerChallenge.Parse(text));

    [Fact]
    public void Parse_Huge_IsNull() => Assert.Null(BearerChallenge.Parse($"realm=\"https://a/{new string('x', 9000)}\""));

    [Fact]
    public void Find_SeveralHeaders_TakesTheFirstUsableBearer()
    {
        using var message = new HttpResponseMessage();
        message.Headers.TryAddWithoutValidation("WWW-Authenticate", "Basic realm=\"x, y\"");
        message.Headers.TryAddWithoutValidation("WWW-Authenticate", "bEaReR service=\"no realm\", Negotiate");
        message.Headers.TryAddWithoutValidation("WWW-Authenticate", "BEARER realm=\"https://a/t\",service=\"s, t\",scope=\"repository:x:pull,push\"");

        Assert.Equal(new BearerChallenge("https://a/t", "s, t", "repository:x:pull,push"), BearerChallenge.Find(message.Headers.WwwAuthenticate));
    }

    [Theory]
    [InlineData("Bearer realm=\"https://a/t\"", "Bearer realm=\"https://a/t\"", "Basic realm=\"x\"", "Bearer realm=\"https://a/t\"")]
    [InlineData("Bearer realm=\"https://b/t\"", "Basic realm=\"x\"", "Negotiate", "Bearer realm=\"https://b/t\"")]
    [InlineData("Basic realm=\"x\"", "Bearer service=\"no realm\"", "Negotiate", "Basic realm=\"x\"")]
    [InlineData("BASIC realm=\"y\"", "Negotiate", "BASIC realm=\"y\"", "Basic realm=\"x\"")]
    [InlineData(null, "Bearer service=\"no realm\"", "Negotiate", "Digest realm=\"x\"")]
    public void FindForClient_Several_IsTheFirstThatCanBeAnsweredATokenFirst(string? expected, params string[] challenges) =>
        Assert.Equal(expected, BearerChallenge.FindForClient(challenges.Select(AuthenticationHeaderValue.Parse))?.ToString());

    [Fact]
    public void Find_OnlyBasic_IsNull() =>
        Assert.Null(BearerChallenge.Find([new AuthenticationHeaderValue("Basic", "realm=\"https://a/t\"")]));
}
