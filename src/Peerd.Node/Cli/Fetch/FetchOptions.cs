namespace Peerd.Node.Cli.Fetch;

/// <summary>What <c>peerd fetch</c> was asked to do.</summary>
/// <param name="Target">What to read.</param>
/// <param name="Output">Where to write; null to verify only.</param>
/// <param name="Facade">The facade to read through.</param>
/// <param name="Node">The mesh listener of the same node; null when it is not known.</param>
/// <param name="Platform">Which image of an index.</param>
internal sealed record FetchOptions(FetchTarget Target, string? Output, Uri Facade, NodeAccess? Node, Platform Platform)
{
    /// <summary>Why nothing can be written to <see cref="Output"/>, in one line; null when nothing speaks against it.</summary>
    public string? OutputFault => Target switch
    {
        ImageTarget when Output is not null && !OciLayout.IsFree(Output) => $"--output is '{Output}', which exists; allowed: a folder that does not exist or is empty",
        BlobTarget when Output is not null && System.IO.Directory.Exists(Output) => $"--output is '{Output}', which is a folder; allowed: a file",
        _ => null,
    };
}
