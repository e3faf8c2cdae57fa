using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Tests.Mesh;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

public sealed class TagDirectoryTests
{
    [Theory]
    [InlineData("liar")]
    [InlineData(null)]
    public async Task Told_AMemberTellsTenThousand_OthersStay(string? liar)
    {
        await using var setup = new PeersSetup("self", "honest", "liar");
        await setup.StartAsync();
        var tags = New(setup);
        for (var i = 0; i < 500; i++)
        {
            tags.Take([PointerTo($"honest-{i}")], "honest");
        }

        for (var i = 0; i < 2 * TagDirectory.MaxTags; i++)
        {
            // Whatever it calls itself.
            tags.Take([PointerTo($"made-up-{i}")], liar ?? $"stranger-{i}");
        }

        Assert.Equal(500, Enumerable.Range(0, 500).Count(i => tags.Find(KeyOf($"honest-{i}")) is not null));
        Assert.Equal(TagDirectory.MaxTags - 500, Enumerable.Range(0, 2 * TagDirectory.MaxTags).Count(i => tags.Find(KeyOf($"made-up-{i}")) is not null));
    }

    [Fact]
    public async Task Told_ForOthersToKnow_IsNotKept()
    {
        await using var setup = new PeersSetup(["self", .. Enumerable.Range(0, 19).Select(i => $"node-{i}")]);
        await setup.StartAsync();
        var tags = New(setup);
        for (var i = 0; i < 1000; i++)
        {
            tags.Take([PointerTo($"tag-{i}")], "node-1");
        }

        var kept = Enumerable.Range(0, 1000).Where(i => tags.Find(KeyOf($"tag-{i}")) is not null).ToList();
        Assert.InRange(kept.Count, 100, 400);
        Assert.All(Enumerable.Range(0, 1000).Where(i => setup.Rings.Current.IsResponsible(KeyOf($"tag-{i}").Place, "self", ProtocolConstants.Replicas)), i => Assert.Contains(i, kept));
    }

    private static TagDirectory New(PeersSetup setup) => new(Options.Create(new TagOptions()), setup.Rings, setup.Self, setup.Time);

    private static TagKey KeyOf(string tag) => new("registry.test", "library/test", tag);

    private static TagPointer PointerTo(string tag) =>
        new() { Registry = "registry.test", Repository = "library/test", Tag = tag, Digest = Digest.OfSha256("x"u8).ToString(), MediaType = "type", Size = 1 };
}
