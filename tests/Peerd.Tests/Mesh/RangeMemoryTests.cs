using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>Ranges that peers ask for while this node holds as many bytes as it may.</summary>
public sealed class RangeMemoryTests
{
    // Who asks when memory is short does better elsewhere; when there is room again he is served.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Range_TooMuchIsHeld_IsBusyUntilThereIsRoom(bool isUrgent)
    {
        var held = 1L << 40;
        using var setup = new RangeSetup(limits: new LimitOptions { Memory = "64MiB" }, held: () => Volatile.Read(ref held));
        var sample = TestMesh.NewSample(300_000);
        sample.WriteAll(setup.Cache);
        var range = new FetchRange { Id = 1, Digest = sample.Digest.ToString(), Urgent = isUrgent };

        var end = await setup.Ask(range).EndAsync();
        Assert.Equal((RangeStatus.Busy, "other"), (end.Status, Assert.Single(end.Holders)));

        Volatile.Write(ref held, 0);
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(range).EndAsync()).Status);
    }
}
