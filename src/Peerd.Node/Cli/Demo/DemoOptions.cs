namespace Peerd.Node.Cli.Demo;

/// <summary>What <c>peerd demo</c> was asked to do.</summary>
/// <param name="Nodes">How many nodes, 1 to <see cref="MostNodes"/>.</param>
/// <param name="Image">The image that they pull.</param>
internal sealed record DemoOptions(int Nodes, GeneratedImageOptions Image)
{
    public const int MostNodes = 16;
    public const int MostLayers = 64;
    public const long SmallestSize = 1024;
    public const long LargestSize = 64L << 30;
}
