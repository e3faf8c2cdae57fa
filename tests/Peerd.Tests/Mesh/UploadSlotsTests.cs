using System.Net;
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

        Assert.True(slots.TryTake(first, IPAddress.Loopback));
        Assert.True(slots.TryTake(first, IPAddress.Loopback));
        Assert.False(slots.TryTake(first, IPAddress.Loopback));
        Assert.True(slots.TryTake(second, IPAddress.Loopback));
        Assert.False(slots.TryTake(third, IPAddress.Loopback));

        slots.Release(first, IPAddress.Loopback);
        Assert.True(slots.TryTake(third, IPAddress.Loopback));
        slots.Release(second, IPAddress.Loopback);
        Assert.True(slots.TryTake(first, IPAddress.Loopback));
        Assert.False(slots.TryTake(second, IPAddress.Loopback));
    }

    [Fact]
    public async Task FetchRange_OneAddressHasHalfOfTheUploads_IsBusyForItAndOthersAreServed()
    {
        using var setup = new RangeSetup(uploads: 8);
        setup.Incoming.Downloads = true;
        var (greedy, mapped, other) = (IPAddress.Parse("10.0.0.1"), IPAddress.Parse("::ffff:10.0.0.1"), IPAddress.Parse("10.0.0.2"));
        var readers = Enumerable.Range(0, 4).Select(i => setup.Ask(Whole(TestMesh.NewSample(1000)), $"name-{i}", greedy)).ToList();
        foreach (var reader in readers)
        {
            Assert.True((await reader.NextAsync()).IsWaiting);
        }

        var urgent = Whole(TestMesh.NewSample(1000));
        urgent.Urgent = true;
        Assert.Equal(RangeStatus.Busy, (await setup.Ask(Whole(TestMesh.NewSample(1000)), "name-5", mapped).NextAsync()).End?.Status);
        Assert.True((await setup.Ask(urgent, "name-6", greedy).NextAsync()).IsWaiting);
        Assert.True((await setup.Ask(Whole(TestMesh.NewSample(1000)), "other", other).NextAsync()).IsWaiting);

        readers[0].Send(new FetchRangeRequest { Cancel = new CancelRange { Id = 1 } });
        Assert.Equal(RangeStatus.Cancelled, (await readers[0].EndAsync()).Status);
        Assert.True((await setup.Ask(Whole(TestMesh.NewSample(1000)), "name-7", greedy).NextAsync()).IsWaiting);
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
