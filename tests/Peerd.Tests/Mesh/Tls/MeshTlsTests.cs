using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Mesh.Tls;

namespace Peerd.Tests.Mesh.Tls;

/// <summary>The files of TLS at the start, and their time.</summary>
public sealed class MeshTlsTests : IDisposable
{
    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-tls-test-");
    private readonly MeshAuthority _authority = new();
    private readonly FakeTimeProvider _time = new(TimeProvider.System.GetUtcNow());
    private readonly FakeLogger _log = new();

    public void Dispose()
    {
        _authority.Dispose();
        _folder.Delete(recursive: true);
    }

    [Theory]
    [InlineData("/a", "", "", "peerd.mesh", "member", "10s", "Peerd:Mesh:Tls:Key is ''", "Peerd:Mesh:Tls:Authority is ''")]
    [InlineData("", "/a", "/b", "peerd.mesh", "member", "10s", "Peerd:Mesh:Tls:Certificate is ''; allowed: an absolute path; Certificate, Key and Authority belong together, all three or none")]
    [InlineData("a", "/b", "/c", "peerd.mesh", "node", "10s", "Peerd:Mesh:Tls:Certificate is 'a'")]
    [InlineData("", "", "", "Peerd.mesh", "nodes", "1ms", "Peerd:Mesh:Tls:Domain is 'Peerd.mesh'; allowed: a DNS name in lower case", "Peerd:Mesh:Tls:Names is 'nodes'; allowed: member or node", "Peerd:Mesh:Tls:Reload is '1ms'")]
    [InlineData("", "", "", "", "member", "10s", "Peerd:Mesh:Tls:Domain is ''")]
    [InlineData("", "", "", "peerd.mesh", "Node", "1h")]
    public void Validate_Options_TellsAllFaults(string certificate, string key, string authority, string domain, string names, string reload, params string[] faults)
    {
        var result = new MeshTlsOptionsValidator().Validate(null, new MeshTlsOptions { Certificate = certificate, Key = key, Authority = authority, Domain = domain, Names = names, Reload = reload });

        Assert.Equal(faults.Length, result.Failures?.Count() ?? 0);
        Assert.All(faults.Zip(result.Failures ?? []), pair => Assert.StartsWith(pair.First, pair.Second, StringComparison.Ordinal));
    }

    [Fact]
    public void Start_WithoutFiles_IsClearText()
    {
        var tls = Create(new MeshTlsOptions());

        tls.Refresh();

        Assert.Equal((false, null), (tls.IsOn, tls.Expires));
    }

    [Fact]
    public void Start_FilesThatAreMissing_SaysWhich()
    {
        var thrown = Assert.Throws<OptionsValidationException>(() => Create(TlsMesh.Options(Path.Combine(_folder.FullName, "none"))));

        Assert.StartsWith($"Peerd:Mesh:Tls:Certificate is '{_folder.FullName}/none/tls.crt', which cannot be used: ", Assert.Single(thrown.Failures), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("node", "peerd.mesh", "lacks the DNS name node-1.peerd.mesh")]
    [InlineData("node", "node-2.peerd.mesh", "lacks the DNS name node-1.peerd.mesh")]
    [InlineData("member", "other.mesh", "lacks the DNS name peerd.mesh, or one below it")]
    public void Start_CertificateOfAnother_SaysThatOthersWouldRefuseIt(string names, string name, string expected)
    {
        _authority.Write(_folder.FullName, name);

        var thrown = Assert.Throws<OptionsValidationException>(() => Create(TlsMesh.Options(_folder.FullName, names)));

        Assert.Contains(expected, Assert.Single(thrown.Failures), StringComparison.Ordinal);
    }

    // Each of them would be refused by every other member: as a client, or as a server.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Start_CertificateForOneUseOnly_SaysThatOthersWouldRefuseIt(bool isServer)
    {
        using var certificate = _authority.Issue([isServer ? MeshAuthority.ServerAuthentication : MeshAuthority.ClientAuthentication], "node-1.peerd.mesh");
        MeshAuthority.Write(_folder.FullName, certificate, _authority.Pem);

        var thrown = Assert.Throws<OptionsValidationException>(() => Create(TlsMesh.Options(_folder.FullName)));

        Assert.Contains("is not for both TLS server authentication and TLS client authentication", Assert.Single(thrown.Failures), StringComparison.Ordinal);
    }

    [Fact]
    public void Start_NoTextOfTheKey_IsInTheError()
    {
        _authority.Write(_folder.FullName, "node-1.peerd.mesh");
        var key = File.ReadAllLines(Path.Combine(_folder.FullName, "tls.key"))[1];
        File.WriteAllText(Path.Combine(_folder.FullName, "tls.crt"), _authority.Issue("node-1.peerd.mesh").ExportCertificatePem());

        var thrown = Assert.Throws<OptionsValidationException>(() => Create(TlsMesh.Options(_folder.FullName)));

        Assert.DoesNotContain(key, thrown.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(key, MeshFiles.Read(TlsMesh.Options(_folder.FullName)).ToString(), StringComparison.Ordinal);
    }

    // A node that would not start again serves nobody, one that is refused by others still serves its own.
    [Fact]
    public void Start_CertificateThatIsExpired_Warns()
    {
        MeshAuthority.Write(_folder.FullName, _authority.Issue(TimeSpan.FromDays(-2), TimeSpan.FromDays(-1), "node-1.peerd.mesh"), _authority.Pem);

        var tls = Create(TlsMesh.Options(_folder.FullName));
        tls.Refresh();

        Assert.True(tls.IsOn);
        Assert.Contains("is not valid now", Assert.Single(Warnings()), StringComparison.Ordinal);

        _authority.Write(_folder.FullName, "node-1.peerd.mesh");
        tls.Refresh();
        Assert.False(tls.Identity.IsOutOfTime);
    }

    [Fact]
    public void Refresh_AsTimeGoesBy_WarnsWhenAQuarterIsLeftAndAtTheEnd()
    {
        MeshAuthority.Write(_folder.FullName, _authority.Issue(TimeSpan.Zero, TimeSpan.FromDays(8), "node-1.peerd.mesh"), _authority.Pem);
        var tls = Create(TlsMesh.Options(_folder.FullName));

        Assert.Equal((0, 0), (At(TimeSpan.Zero), At(TimeSpan.FromDays(5.9))));
        Assert.Equal((1, 1), (At(TimeSpan.FromDays(0.2)), At(TimeSpan.FromDays(1.8))));
        Assert.Contains("should have been renewed by now", Warnings()[0], StringComparison.Ordinal);
        Assert.Equal((2, 2), (At(TimeSpan.FromDays(0.2)), At(TimeSpan.FromDays(10))));
        Assert.Contains("is not valid now", Warnings()[1], StringComparison.Ordinal);

        int At(TimeSpan later)
        {
            _time.Advance(later);
            tls.Refresh();
            return Warnings().Count;
        }
    }

    [Fact]
    public async Task Metrics_OfANode_TellWhenItsCertificateExpires()
    {
        await using var mesh = await TlsMesh.StartAsync();
        using var client = new HttpClient();

        var text = await client.GetStringAsync(new Uri(mesh.Node.Metrics, "/metrics/prometheus"));

        var line = Assert.Single(text.Split('\n'), line => line.StartsWith("peerd_mesh_certificate_expiry_timestamp_seconds", StringComparison.Ordinal));
        Assert.Contains($" {mesh.Node.Get<MeshTls>().Expires!.Value.ToUnixTimeSeconds()}", line, StringComparison.Ordinal);
    }

    private List<string> Warnings() => [.. _log.Collector.GetSnapshot().Where(record => record.Level == LogLevel.Warning).Select(record => record.Message)];

    private MeshTls Create(MeshTlsOptions options) => new(options, "node-1", _time, refused: null, _log);
}
