using System.Text;
using Peerd.Contracts;
using Peerd.Node.Swarm;

namespace Peerd.Simulation.Mesh;

/// <summary>One of the contents that all nodes want.</summary>
/// <param name="Number">Its number.</param>
/// <param name="Digest">Its digest, which decides who is responsible.</param>
/// <param name="Layout">How it is cut.</param>
internal sealed record SimulatedContent(int Number, Digest Digest, ContentLayout Layout)
{
    public static SimulatedContent Create(Scenario scenario, int number) =>
        new(number, Digest.OfSha256(Encoding.ASCII.GetBytes($"content {number} of {scenario.Seed}")), new ContentLayout(scenario.Size));

    public int SeedOf(string node) => StableSeed.Of(Digest, node);

    public int SeedOfOwner => StableSeed.Of(Digest);
}
