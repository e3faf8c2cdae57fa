using System.Diagnostics.CodeAnalysis;
using Peerd.Node.Cli.Fetch;

namespace Peerd.Node.Cli.Demo;

/// <summary>What <c>peerd demo</c> was asked to do; always valid.</summary>
/// <param name="Nodes">How many nodes, 1 to 16.</param>
/// <param name="Image">The image that they pull.</param>
internal sealed record DemoOptions(int Nodes, GeneratedImageOptions Image)
{
    private const int MostNodes = 16;
    private const int MostLayers = 64;
    private const long SmallestSize = 1024;
    private const long LargestSize = 64L << 30;

    /// <summary>Checks the arguments; otherwise <paramref name="error"/> is one line for people.</summary>
    public static bool TryCreate(int nodes, string sizeText, int layers, ulong seed, [NotNullWhen(true)] out DemoOptions? options, [NotNullWhen(false)] out string? error)
    {
        options = null;
        long size = 0;
        error = nodes is < 1 or > MostNodes ? $"--nodes {nodes}: allowed are 1 to {MostNodes}"
            : !SizeText.TryParse(sizeText, out size) || size is < SmallestSize or > LargestSize ? $"--size '{sizeText}': allowed are {SizeText.Format(SmallestSize)} to {SizeText.Format(LargestSize)}, written like 64MiB"
            : layers is < 1 or > MostLayers ? $"--layers {layers}: allowed are 1 to {MostLayers}"
            : null;
        if (error is not null)
        {
            return false;
        }

        options = new DemoOptions(nodes, new GeneratedImageOptions(size, layers, seed));
        return true;
    }
}
