using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Compares what a registry has sent, by its own log, with what is in the image.</summary>
internal static class Amplification
{
    private const double Healthy = 1.02;

    /// <summary>
    /// A lone reader asks for a small content in one go, and gives back what has not arrived when others come: the registry may
    /// have sent the last piece by then.
    /// </summary>
    private const int Piece = 64 * 1024;

    /// <summary>
    /// Demands that every byte of an image was read about once, however many pulled it. A small content may be read twice, when
    /// its owner is slow to answer; that must not show in the sum.
    /// </summary>
    public static void Demand(DockerRegistry registry, TestImage image)
    {
        var read = registry.ReadSoFar();
        Assert.All(image.All, part => Assert.True(read.ContainsKey(part.Digest), $"{part} was not read from the registry"));
        Assert.All(image.Layers, layer => Assert.InRange(read[layer.Digest].Bytes, layer.Size, (Healthy * layer.Size) + Piece));
        Assert.InRange(registry.BytesSoFar, image.Size, (Healthy * image.Size) + (Piece * image.Layers.Count));

        // ctr 2 reads manifests and configurations of all platforms, and nobody the layers of another one.
        Assert.All(image.Other.Layers, layer => Assert.False(read.ContainsKey(layer.Digest), $"{layer} of another platform was read"));
    }
}
