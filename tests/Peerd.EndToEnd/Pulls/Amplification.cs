using Peerd.EndToEnd.Harness;

namespace Peerd.EndToEnd.Pulls;

/// <summary>Compares what a registry has sent, by its own log, with what is in the image.</summary>
internal static class Amplification
{
    private const double Healthy = 1.02;

    /// <summary>
    /// Demands that every byte of an image was read about once, however many pulled it. A small content may be read twice, when
    /// its owner is slow to answer; that must not show in the sum.
    /// </summary>
    public static void Demand(DockerRegistry registry, TestImage image)
    {
        var read = registry.ReadSoFar();
        Assert.All(image.All, part => Assert.True(read.ContainsKey(part.Digest), $"{part} was not read from the registry"));
        Assert.All(image.Layers, layer => Assert.InRange((double)read[layer.Digest].Bytes / layer.Size, 1, Healthy));
        Assert.InRange((double)registry.BytesSoFar / image.Size, 1, Healthy);

        // ctr 2 reads manifests and configurations of all platforms, and nobody the layers of another one.
        Assert.All(image.Other.Layers, layer => Assert.False(read.ContainsKey(layer.Digest), $"{layer} of another platform was read"));
    }
}
