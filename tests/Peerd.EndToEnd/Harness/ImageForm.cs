namespace Peerd.EndToEnd.Harness;

/// <summary>How an image is written down.</summary>
public enum ImageForm
{
    /// <summary>OCI index and manifests, layers in gzip.</summary>
    OciGzip,

    /// <summary>OCI index and manifests, layers in zstd.</summary>
    OciZstd,

    /// <summary>Docker's manifest list and manifests of schema 2, layers in gzip.</summary>
    DockerGzip,
}
