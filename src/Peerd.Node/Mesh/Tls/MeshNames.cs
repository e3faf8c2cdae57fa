using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Peerd.Node.Membership;

namespace Peerd.Node.Mesh.Tls;

/// <summary>
/// Reads from the DNS names of a certificate whose it is. Names are compared letter by letter, and wildcards mean nothing.
/// Immutable.
/// </summary>
/// <param name="domain">The name of the mesh.</param>
/// <param name="namesNodes">A certificate must have the name of its node.</param>
internal sealed class MeshNames(string domain, bool namesNodes)
{
    private readonly string _suffix = $".{domain}";

    /// <summary>Certificates tell which node theirs is.</summary>
    public bool AreOfNodes => namesNodes;

    /// <summary>What a certificate must have, for error texts.</summary>
    /// <param name="node">The node; null for any.</param>
    public string Wanted(string? node) => (namesNodes, node) switch
    {
        (false, _) => $"the DNS name {domain}, or one below it",
        (true, null) => $"the DNS name <node>.{domain}",
        _ => $"the DNS name {node}.{domain}",
    };

    /// <summary>True when this is the certificate of that node, as far as certificates of this mesh tell.</summary>
    /// <param name="certificate">A certificate whose chain was checked.</param>
    /// <param name="node">The node; null for any member.</param>
    public bool IsOf(X509Certificate2 certificate, string? node)
    {
        try
        {
            return certificate.Extensions.OfType<X509SubjectAlternativeNameExtension>().SelectMany(names => names.EnumerateDnsNames()).Any(name => IsOf(name, node));
        }
        catch (CryptographicException)
        {
            // Names that are not what their encoding says.
            return false;
        }
    }

    private bool IsOf(string name, string? node)
    {
        if (!name.EndsWith(_suffix, StringComparison.Ordinal))
        {
            return !namesNodes && name == domain;
        }

        var first = name[..^_suffix.Length];
        return NodeName.IsValid(first) && (!namesNodes || node is null || first == node);
    }
}
