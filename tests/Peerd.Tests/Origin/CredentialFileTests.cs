using System.Text;
using System.Text.Json;
using Peerd.Node.Origin;

namespace Peerd.Tests.Origin;

public sealed class CredentialFileTests
{
    [Theory]
    [InlineData("https://index.docker.io/v1/", "docker.io")]
    [InlineData("registry-1.docker.io", "docker.io")]
    [InlineData("docker.io", "docker.io")]
    [InlineData("ghcr.io", "ghcr.io")]
    [InlineData("https://Reg.Example:5000/v2/", "reg.example:5000")]
    public void Parse_Key_IsTheRegistry(string key, string registry)
    {
        var credentials = CredentialFile.Parse(Encoding.UTF8.GetBytes($$$$"""{"credsStore":"x","auths":{"{{{{key}}}}":{"auth":"dXNlcjpTM2NyZXQ6c3M="}}}"""));

        Assert.Equal(new RegistryCredential("user", "S3cret:ss", IsIdentityToken: false), credentials[registry]);
    }

    [Theory]
    [InlineData("{}")]
    [InlineData("""{"auths":null}""")]
    [InlineData("""{"auths":{}}""")]
    [InlineData("""{"auths":{"ghcr.io":null}}""")]
    [InlineData("""{"auths":{"ghcr.io":{}}}""")]
    [InlineData("""{"auths":{"ghcr.io":{"username":"u"}}}""")]
    [InlineData("""{"auths":{"ghcr.io":{"auth":""}}}""")]
    public void Parse_NothingUsable_IsEmpty(string json) => Assert.Empty(CredentialFile.Parse(Encoding.UTF8.GetBytes(json)));

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"auths":[]}""")]
    [InlineData("""{"auths":{"ghcr.io":"x"}}""")]
    public void Parse_AnotherThing_Throws(string json) => Assert.Throws<JsonException>(() => CredentialFile.Parse(Encoding.UTF8.GetBytes(json)));

    [Theory]
    [InlineData("%%%")]
    [InlineData("bm9jb2xvbg==")]
    public void Parse_AuthThatIsNone_Throws(string auth) =>
        Assert.Throws<FormatException>(() => CredentialFile.Parse(Encoding.UTF8.GetBytes($$$$"""{"auths":{"ghcr.io":{"auth":"{{{{auth}}}}"}}}""")));

    [Fact]
    public void ToString_AnyCredential_ShowsNothing()
    {
        Assert.Equal("a credential", new RegistryCredential("user", "S3cret", IsIdentityToken: false).ToString());
        Assert.Equal("a credential", new CallerCredential("Bearer S3cret-x").ToString());
        Assert.DoesNotContain("S3cret", new OriginReference("r", "a", OriginKind.Blob, "x") { Credential = new CallerCredential("Bearer S3cret") }.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Forgotten_Credential_ComparesButDoesNotTell()
    {
        var credential = new CallerCredential("Bearer S3cret-x");

        Assert.Equal(credential, credential.Forgotten);
        Assert.Null(credential.Forgotten.Authorization);
        Assert.NotEqual(credential.Forgotten, new CallerCredential("Bearer S3cret-y").Forgotten);
        Assert.NotEqual(credential, CallerCredential.None);
    }
}
