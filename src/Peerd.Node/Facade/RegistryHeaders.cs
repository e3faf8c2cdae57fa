namespace Peerd.Node.Facade;

/// <summary>Names of headers that only registries use.</summary>
internal static class RegistryHeaders
{
    public const string ApiVersion = "Docker-Distribution-Api-Version";
    public const string ContentDigest = "Docker-Content-Digest";
    /// <summary>Ours: how many seconds ago the registry, which is down, said where the tag points.</summary>
    public const string StaleSeconds = "Peerd-Stale-Seconds";

    public const string FiltersApplied = "OCI-Filters-Applied";
    public const string Namespace = "OCI-Namespace";
}
