using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Mesh;

public sealed class UploadSlotsTests
{
    [Fact]
    public void TryTake_AsManyAsThereAre_ThenNoneUntilOneIsReleased()
    {
        var slots = new UploadSlots(total: 3, perContent: 2);
        var (first, second, third) = (TestMesh.NewSample(1).Digest, TestMesh.NewSample(1).Digest, TestMesh.NewSample(1).Digest);

        Assert.True(slots.TryTake(first));
        Assert.True(slots.TryTake(first));
        Assert.False(slots.TryTake(first));
        Assert.True(slots.TryTake(second));
        Assert.False(slots.TryTake(third));

        slots.Release(first);
        Assert.True(slots.TryTake(third));
        slots.Release(second);
        Assert.True(slots.TryTake(first));
        Assert.False(slots.TryTake(second));
    }

    [Fact]
    public async Task FetchRange_OneContentHasItsUploads_IsBusyAtOnceAndOthersAreServed()
    {
        using var setup = new RangeSetup(RangeServer.UploadsPerContent + 1);
        setup.Incoming.Downloads = true;
        var popular = TestMesh.NewSample(1000);
        var other = TestMesh.NewSample(1000);
        other.WriteAll(setup.Cache);
        var readers = Enumerable.Range(0, RangeServer.UploadsPerContent).Select(_ => setup.Ask(Whole(popular))).ToList();
        foreach (var reader in readers)
        {
            Assert.True((await reader.NextAsync()).IsWaiting);
        }

        Assert.Equal(RangeStatus.Busy, (await setup.Ask(Whole(popular)).NextAsync()).End?.Status);
        Assert.Equal(RangeStatus.Complete, (await setup.Ask(Whole(other)).EndAsync()).Status);

        // The last slot of all is taken: another content has to wait, too.
        var third = TestMesh.NewSample(1000);
        Assert.True((await setup.Ask(Whole(third)).NextAsync()).IsWaiting);
        Assert.Equal(RangeStatus.Busy, (await setup.Ask(Whole(other)).NextAsync()).End?.Status);

        // A range that ends gives its slot to the next of the same content.
        readers[0].Send(new FetchRangeRequest { Cancel = new CancelRange { Id = 1 } });
        Assert.Equal(RangeStatus.Cancelled, (await readers[0].EndAsync()).Status);
        Assert.True((await setup.Ask(Whole(popular)).NextAsync()).IsWaiting);
    }

    private static FetchRange Whole(SampleContent sample) => new() { Id = 1, Digest = sample.Digest.ToString(), Wait = true };
}
