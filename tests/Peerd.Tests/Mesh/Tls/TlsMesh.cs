using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Grpc.Net.Client;
using Microsoft.Extensions.Logging.Abstractions;
using Peerd.EndToEnd.Harness;
using Peerd.Node.Mesh.Tls;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh.Tls;

/// <summary>Nodes with TLS, their authority and their files.</summary>
internal sealed class TlsMesh : IAsyncDisposable
{
    public const string Domain = "peerd.mesh";

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-tls-test-");

    private TlsMesh()
    {
    }

    public MeshAuthority Authority { get; } = new();

    public TestMesh Mesh { get; private set; } = null!;

    public TestNode Node => Mesh.Node;

    /// <summary>Starts nodes; each has a certificate with its name.</summary>
    /// <param name="nodes">How many.</param>
    /// <param name="names">What certificates prove.</param>
    /// <param name="time">Clock of the nodes; none: the system's.</param>
    /// <param name="settings">Further settings of all nodes.</param>
    public static async Task<TlsMesh> StartAsync(int nodes = 1, string names = "node", TimeProvider? time = null, params string[] settings)
    {
        var mesh = new TlsMesh();
        mesh.Mesh = await TestMesh.StartAsync(nodes, settings: settings, time: time, settingsOf: name =>
        {
            mesh.Authority.Write(mesh.FolderOf(name), $"{name}.{Domain}");
            return [$"--Peerd:Mesh:Tls:Names={names}", .. MeshAuthority.Settings(mesh.FolderOf(name)).Select(setting => $"--Peerd:Mesh:Tls:{setting.Key}={setting.Value}")];
        });
        return mesh;
    }

    /// <summary>Where the files of a node are.</summary>
    public string FolderOf(string node) => Path.Combine(_folder.FullName, node);

    /// <summary>What another program of the mesh would have.</summary>
    /// <param name="node">The name in its certificate.</param>
    /// <param name="names">What it wants of others.</param>
    public MeshTls MemberTls(string node, string names = "node")
    {
        Authority.Write(FolderOf(node), $"{node}.{Domain}");
        return Tls(FolderOf(node), names);
    }

    /// <summary>TLS with the files of a folder.</summary>
    public static MeshTls Tls(string folder, string names = "node") => new(Options(folder, names), self: null, TimeProvider.System, refused: null, NullLogger.Instance);

    public static MeshTlsOptions Options(string folder, string names = "node")
    {
        var files = MeshAuthority.Settings(folder).ToDictionary(setting => setting.Key, setting => setting.Value);
        return new MeshTlsOptions { Certificate = files["Certificate"], Key = files["Key"], Authority = files["Authority"], Names = names };
    }

    /// <summary>A channel to a node as this program makes it.</summary>
    public static GrpcChannel Channel(TestNode node, MeshTls tls, string? meant = null) => MeshChannel.Open(node.MeshEndPoint.ToString(), tls, meant, () => new SocketsHttpHandler());

    /// <summary>A foreign program that takes any server and shows what it has.</summary>
    public static HttpClient Stranger(X509Certificate2? certificate, SslProtocols protocols = SslProtocols.None, Action<X509Certificate2>? seen = null) => new(new SocketsHttpHandler
    {
        SslOptions = new SslClientAuthenticationOptions
        {
            ClientCertificateContext = certificate is null ? null : SslStreamCertificateContext.Create(certificate, additionalCertificates: null, offline: true),
            EnabledSslProtocols = protocols,
            RemoteCertificateValidationCallback = (_, shown, _, _) =>
            {
                seen?.Invoke((X509Certificate2)shown!);
                return shown is not null;
            },
        },
    })
    {
        DefaultRequestVersion = System.Net.HttpVersion.Version20,
        DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        Timeout = Wait.Longest,
    };

    public async ValueTask DisposeAsync()
    {
        await Mesh.DisposeAsync();
        Authority.Dispose();
        _folder.Delete(recursive: true);
    }
}
