namespace Peerd.Node.Origin;

/// <summary>With whose credentials a registry is read.</summary>
internal enum RegistryAuth
{
    /// <summary>With what the client brings, which is told what the registry asks for.</summary>
    Relay,

    /// <summary>With tokens that everybody gets.</summary>
    Anonymous,

    /// <summary>With what the operator put into a file on this node.</summary>
    Static,
}
