using System.Text;
using k8s.Models;
using Peerd.Tests.Mesh.Tls;

namespace Peerd.Tests.Chart;

/// <summary>Where the nodes of a cluster get the certificates of the mesh from.</summary>
[Collection(nameof(OneAfterTheOther))]
public sealed class ChartMeshTlsTests
{
    private const string Generated = "peerd.mesh.tls.mode=generated";
    private const string Annotation = "peerd/mesh-domain";

    [Fact]
    public async Task Default_Mesh_IsClearText()
    {
        var manifests = await Manifests.OfAsync();

        Assert.DoesNotContain("Tls", manifests.Text, StringComparison.Ordinal);
        Assert.Empty(manifests.All.OfType<V1Secret>());
    }

    [Theory]
    [InlineData("secret,peerd.mesh.tls.secret=mine", "mine", "member")]
    [InlineData("generated", "peerd-mesh", "member")]
    [InlineData("certManager,peerd.mesh.tls.issuer.name=ca", "peerd-mesh-tls", "member")]
    [InlineData("nodeFolder,peerd.mesh.tls.nodeFolder=/certs", null, "node")]
    public async Task Server_AnyMode_FindsTheFilesWhereTheyAreMounted(string mode, string? secret, string names)
    {
        var manifests = await Manifests.OfAsync("--set", $"peerd.mesh.tls.mode={mode},peerd.mesh.tls.domain=images.example.org");
        var mount = Assert.Single(manifests.Server.VolumeMounts, mount => mount.Name == "mesh");
        var volume = Assert.Single(manifests.Node.Spec.Template.Spec.Volumes, volume => volume.Name == "mesh");

        Assert.True(mount.ReadOnlyProperty);
        Assert.Null(mount.SubPath);
        Assert.Equal((secret, secret is null ? "/certs" : null), (volume.Secret?.SecretName, volume.HostPath?.Path));
        Assert.All([("Certificate", "tls.crt"), ("Key", "tls.key"), ("Authority", "ca.crt")], file =>
        {
            Assert.Equal($"{mount.MountPath}/{file.Item2}", manifests.Settings[$"Peerd:Mesh:Tls:{file.Item1}"]);
            Assert.True(volume.Secret is null || volume.Secret.Items.Any(item => item.Key == file.Item2 && item.Path == file.Item2));
        });
        Assert.Equal(("images.example.org", names), (manifests.Settings["Peerd:Mesh:Tls:Domain"], manifests.Settings["Peerd:Mesh:Tls:Names"]));
        Peerd.Node.Hosting.ConfigurationKeys.Check(manifests.Settings);
    }

    [Fact]
    public async Task CertManager_Certificate_IsOfTheMesh()
    {
        var manifests = await Manifests.OfAsync("--set", "peerd.mesh.tls.mode=certManager,peerd.mesh.tls.issuer.name=ca,peerd.mesh.tls.issuer.kind=ClusterIssuer");
        var certificate = manifests.Get<CertManagerCertificate>("peerd").Spec;

        Assert.Equal(("peerd-mesh-tls", "2160h"), (certificate.SecretName, certificate.Duration));
        Assert.Equal(["peerd.mesh"], certificate.DnsNames);
        Assert.Equal(["digital signature", "server auth", "client auth"], certificate.Usages);
        Assert.Equal(("ca", "ClusterIssuer"), (certificate.IssuerRef["name"], certificate.IssuerRef["kind"]));
    }

    [Fact]
    public async Task Generated_Secret_IsTakenByANode()
    {
        var secret = (await Manifests.OfAsync("--set", Generated)).Get<V1Secret>("peerd-mesh");
        var folder = System.IO.Directory.CreateTempSubdirectory("peerd-chart-test-");
        try
        {
            foreach (var (name, value) in secret.Data)
            {
                await File.WriteAllBytesAsync(Path.Combine(folder.FullName, name), value);
            }

            Assert.Equal(["ca.crt", "tls.crt", "tls.key"], secret.Data.Keys.Order(StringComparer.Ordinal));
            Assert.False(TlsMesh.Tls(folder.FullName, "member").Identity.IsOutOfTime);
            Assert.DoesNotContain(secret.Data.Values, value => Encoding.ASCII.GetString(value) is var text && text.Contains("CERTIFICATE", StringComparison.Ordinal) && text.Contains("PRIVATE", StringComparison.Ordinal));
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Theory]
    [InlineData("peerd.mesh", true)]
    [InlineData("other.mesh", false)]
    public async Task Generated_Upgrade_KeepsTheSecretOfTheSameMesh(string domain, bool isKept)
    {
        string[] data = ["tls.crt", "tls.key", "ca.crt"];
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddSecret("peerd-ns", "peerd-mesh", Annotation, domain, data.Select(name => KeyValuePair.Create(name, Convert.ToBase64String(Encoding.ASCII.GetBytes($"kept {name}")))));

        var manifests = await Manifests.OfAsync("--set", Generated, "--dry-run=server", "--disable-openapi-validation", "--kubeconfig", cluster.Kubeconfig);
        var secret = manifests.Get<V1Secret>("peerd-mesh");

        Assert.Contains("/api/v1/namespaces/peerd-ns/secrets/peerd-mesh", cluster.Requests);
        Assert.All(data, name => Assert.Equal(isKept, Encoding.ASCII.GetString(secret.Data[name]) == $"kept {name}"));
        Assert.Equal("peerd.mesh", secret.Metadata.Annotations[Annotation]);
    }

    [Fact]
    public async Task Generated_SecretOfSomebodyElse_IsLeftAlone()
    {
        await using var cluster = await FakeCluster.StartAsync();
        cluster.AddSecret("peerd-ns", "peerd-mesh", annotation: null, value: null, [KeyValuePair.Create("tls.key", "")]);

        var run = await ChartTool.HelmAsync(
            "template", "peerd", ChartTool.Chart, "--namespace", "peerd-ns", "--set", Generated, "--dry-run=server", "--disable-openapi-validation", "--kubeconfig", cluster.Kubeconfig);

        Assert.NotEqual(0, run.ExitCode);
        Assert.Contains("Secret \"peerd-mesh\" in namespace \"peerd-ns\" exists and cannot be imported", run.Error, StringComparison.Ordinal);
    }
}
