namespace Peerd.Node.Facade;

/// <summary>Names of headers that only registries use.</summary>
internal static class RegistryHeaders
{
    public const string ApiVersion = "Docker-Distribution-Api-Version";
    public const string ContentDigest = "Docker-Content-Digest";
    public const string Namespace = "OCI-Namespace";
}
