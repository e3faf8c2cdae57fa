using System.Net.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Peerd.Node.Mesh.Tls;

/// <summary>The certificate that this node shows, and the authorities that it trusts. Immutable.</summary>
internal sealed class MeshIdentity
{
    /// <summary>Members call each other, so one certificate is shown on both sides of connections.</summary>
    private static readonly Oid[] Usages = [new("1.3.6.1.5.5.7.3.1", "TLS server authentication"), new("1.3.6.1.5.5.7.3.2", "TLS client authentication")];

    private const string Begin = "-----BEGIN CERTIFICATE-----";

    private readonly X509Certificate2Collection _authorities;
    private readonly HashSet<string> _authorityHashes;

    private MeshIdentity(SslStreamCertificateContext certificate, X509Certificate2Collection authorities, string hash)
    {
        Certificate = certificate;
        _authorities = authorities;
        _authorityHashes = [.. authorities.Select(AuthorityOf)];
        Hash = hash;
    }

    /// <summary>The certificate with its key, and what leads from it to the authority.</summary>
    public SslStreamCertificateContext Certificate { get; }

    /// <summary>Of the files that it was made of.</summary>
    public string Hash { get; }

    /// <summary>When the certificate, or one of those that it depends on, is no longer valid.</summary>
    public DateTimeOffset Expires { get; private init; }

    /// <summary>How long the certificate is valid in all.</summary>
    public TimeSpan Lifetime { get; private init; }

    /// <summary>Nothing is wrong with it but the time: it is expired, or not valid yet.</summary>
    public bool IsOutOfTime { get; private init; }

    /// <summary>Makes an identity of its files.</summary>
    /// <exception cref="MeshTlsException">They do not fit together, or other members would refuse the certificate whatever the time is.</exception>
    public static MeshIdentity Create(MeshFiles files, MeshTlsOptions options, MeshNames names, string? self)
    {
        try
        {
            return CreateChecked(files, options, names, self);
        }
        catch (CryptographicException e)
        {
            throw new MeshTlsException(nameof(options.Certificate), options.Certificate, e.Message, e);
        }
    }

    private static MeshIdentity CreateChecked(MeshFiles files, MeshTlsOptions options, MeshNames names, string? self)
    {
        var authorities = ReadAuthorities(files, options);
        var (certificate, others) = ReadCertificate(files, options);
        if (!names.IsOf(certificate, self))
        {
            throw new MeshTlsException(nameof(options.Certificate), options.Certificate, $"other members would refuse it, it lacks {names.Wanted(self)}");
        }

        using var chain = new X509Chain { ChainPolicy = PolicyOf(authorities) };
        chain.ChainPolicy.ExtraStore.AddRange(others);
        Array.ForEach(Usages, usage => chain.ChainPolicy.ApplicationPolicy.Add(usage));
        var isTrusted = chain.Build(certificate);
        if (chain.ChainStatus.Any(status => status.Status == X509ChainStatusFlags.NotValidForUsage))
        {
            throw new MeshTlsException(nameof(options.Certificate), options.Certificate, $"other members would refuse it, for it, or an authority that signed it, is not for both {Usages[0].FriendlyName} and {Usages[1].FriendlyName} (extended key usage)");
        }

        if (chain.ChainStatus.FirstOrDefault(status => status.Status is not (X509ChainStatusFlags.NoError or X509ChainStatusFlags.NotTimeValid)) is { Status: not X509ChainStatusFlags.NoError } fault)
        {
            throw new MeshTlsException(nameof(options.Certificate), options.Certificate, $"other members would refuse it, for it does not lead to the authority of the mesh ({fault.StatusInformation.Trim()})");
        }

        return new MeshIdentity(SslStreamCertificateContext.Create(certificate, others, offline: true), authorities, files.Hash)
        {
            Expires = chain.ChainElements.Min(element => new DateTimeOffset(element.Certificate.NotAfter)),
            Lifetime = certificate.NotAfter - certificate.NotBefore,
            IsOutOfTime = !isTrusted,
        };
    }

    /// <summary>Whether this is one of the authorities that are trusted.</summary>
    /// <param name="hash">As <see cref="AuthorityOf"/> tells it.</param>
    public bool HasAuthority(string hash) => _authorityHashes.Contains(hash);

    /// <summary>Tells authorities apart.</summary>
    public static string AuthorityOf(X509Certificate2 certificate) => certificate.GetCertHashString(HashAlgorithmName.SHA256);

    /// <summary>How the chain of another member is checked: it leads to the mesh's own authorities, and nothing is asked or fetched on the network.</summary>
    public X509ChainPolicy ChainPolicy => PolicyOf(_authorities);

    private static X509ChainPolicy PolicyOf(X509Certificate2Collection authorities)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
        };
        policy.CustomTrustStore.AddRange(authorities);
        return policy;
    }

    private static X509Certificate2Collection ReadAuthorities(MeshFiles files, MeshTlsOptions options)
    {
        var authorities = Import(files.Authority, nameof(options.Authority), options.Authority);
        return authorities.Any(authority => authority.SubjectName.RawData.AsSpan().SequenceEqual(authority.IssuerName.RawData))
            ? authorities
            : throw new MeshTlsException(nameof(options.Authority), options.Authority, "there is no root in it, a certificate that is signed by itself");
    }

    private static (X509Certificate2 Own, X509Certificate2Collection Others) ReadCertificate(MeshFiles files, MeshTlsOptions options)
    {
        var others = Import(files.Certificate, nameof(options.Certificate), options.Certificate);
        others.RemoveAt(0);
        try
        {
            return (X509Certificate2.CreateFromPem(files.Certificate, files.Key), others);
        }
        catch (Exception e) when (e is CryptographicException or ArgumentException)
        {
            throw new MeshTlsException(nameof(options.Key), options.Key, $"it is not the key of the certificate ({e.Message})", e);
        }
    }

    private static X509Certificate2Collection Import(string pem, string setting, string path)
    {
        var certificates = new X509Certificate2Collection();
        try
        {
            certificates.ImportFromPem(pem);
        }
        catch (CryptographicException e)
        {
            throw new MeshTlsException(setting, path, e.Message, e);
        }

        // The framework passes over what it can't read.
        if (pem.AsSpan().Count(Begin) != certificates.Count || EndsWithinBegin(pem))
        {
            throw new MeshTlsException(setting, path, "a certificate in it is cut, or is not in PEM form");
        }

        return certificates.Count > 0 ? certificates : throw new MeshTlsException(setting, path, "there is no certificate in it in PEM form");
    }

    private static bool EndsWithinBegin(string pem)
    {
        var line = pem.AsSpan(pem.LastIndexOf('\n') + 1);
        return !line.IsEmpty && Begin.StartsWith(line, StringComparison.Ordinal);
    }
}
