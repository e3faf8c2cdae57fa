using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Peerd.EndToEnd.Harness;

/// <summary>Signs certificates of a mesh, for an hour unless the test says otherwise.</summary>
internal sealed class MeshAuthority : IDisposable
{
    /// <summary>The use as the certificate of a server.</summary>
    public static readonly Oid ServerAuthentication = new("1.3.6.1.5.5.7.3.1");

    /// <summary>The use as the certificate of a client.</summary>
    public static readonly Oid ClientAuthentication = new("1.3.6.1.5.5.7.3.2");

    private readonly ECDsa _key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
    private readonly X509Certificate2 _root;

    /// <param name="until">Until when the root is valid, from now on; null for long enough.</param>
    public MeshAuthority(TimeSpan? until = null)
    {
        var request = new CertificateRequest($"CN=authority {Guid.NewGuid()}", _key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign, critical: true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, critical: false));
        var now = TimeProvider.System.GetUtcNow();
        _root = request.CreateSelfSigned(now.AddDays(-30), now + (until ?? TimeSpan.FromDays(30)));
    }

    /// <summary>The root, as in a bundle of authorities.</summary>
    public string Pem => _root.ExportCertificatePem() + "\n";

    /// <summary>A certificate with its key.</summary>
    public X509Certificate2 Issue(params string[] names) => Issue(TimeSpan.FromMinutes(-5), TimeSpan.FromHours(1), names);

    /// <summary>A certificate with its key.</summary>
    /// <param name="from">Since when it is valid, from now on.</param>
    /// <param name="to">Until when.</param>
    /// <param name="names">Its DNS names.</param>
    public X509Certificate2 Issue(TimeSpan from, TimeSpan to, params string[] names) => Issue(from, to, [ServerAuthentication, ClientAuthentication], names);

    /// <summary>A certificate with its key, for these uses.</summary>
    public X509Certificate2 Issue(OidCollection uses, params string[] names) => Issue(TimeSpan.FromMinutes(-5), TimeSpan.FromHours(1), uses, names);

    private X509Certificate2 Issue(TimeSpan from, TimeSpan to, OidCollection uses, string[] names)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=member", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: false, hasPathLengthConstraint: false, 0, critical: true));
        request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension(uses, critical: false));
        if (names.Length > 0)
        {
            var alternatives = new SubjectAlternativeNameBuilder();
            foreach (var name in names)
            {
                alternatives.AddDnsName(name);
            }

            request.CertificateExtensions.Add(alternatives.Build());
        }

        var now = TimeProvider.System.GetUtcNow();
        using var certificate = request.Create(_root.SubjectName, X509SignatureGenerator.CreateForECDsa(_key), now + from, now + to, RandomNumberGenerator.GetBytes(16));
        return certificate.CopyWithPrivateKey(key);
    }

    /// <summary>Writes the three files of a node into a folder: <c>tls.crt</c>, <c>tls.key</c>, <c>ca.crt</c>.</summary>
    public X509Certificate2 Write(string folder, params string[] names)
    {
        var certificate = Issue(names);
        Write(folder, certificate, Pem);
        return certificate;
    }

    /// <summary>Writes these three files.</summary>
    public static void Write(string folder, X509Certificate2 certificate, string authorities)
    {
        System.IO.Directory.CreateDirectory(folder);
        File.WriteAllText(Path.Combine(folder, "tls.crt"), certificate.ExportCertificatePem());
        File.WriteAllText(Path.Combine(folder, "tls.key"), certificate.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(Path.Combine(folder, "ca.crt"), authorities);
    }

    /// <summary>The settings that lead a node to the files of a folder, key and value.</summary>
    public static IEnumerable<(string Key, string Value)> Settings(string folder) =>
    [
        ("Certificate", Path.Combine(folder, "tls.crt")),
        ("Key", Path.Combine(folder, "tls.key")),
        ("Authority", Path.Combine(folder, "ca.crt")),
    ];

    public void Dispose()
    {
        _root.Dispose();
        _key.Dispose();
    }
}
