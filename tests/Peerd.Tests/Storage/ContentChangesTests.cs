using System.Text;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class ContentChangesTests
{
    private static readonly TimeSpan Hang = TimeSpan.FromSeconds(30);

    [Fact]
    public async Task WaitAsync_NothingAdded_IsPendingUntilAdd()
    {
        var changes = new ContentChanges();
        var waiting = changes.WaitAsync(TestContext.Current.CancellationToken).AsTask();
        Assert.False(waiting.IsCompleted);

        changes.Add(Name(1));
        await waiting.WaitAsync(Hang);

        Assert.Equal([Name(1)], changes.Drain());
        Assert.Empty(changes.Drain());
    }

    [Fact]
    public async Task WaitAsync_AddedAndDrainedBefore_IsPendingAgain()
    {
        var changes = new ContentChanges();
        changes.Add(Name(1));
        changes.Add(Name(1));
        Assert.Single(changes.Drain());
        using var cancellation = new CancellationTokenSource();

        var waiting = changes.WaitAsync(cancellation.Token).AsTask();

        Assert.False(waiting.IsCompleted);
        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Hang));
        changes.Add(Name(2));
        await changes.WaitAsync(CancellationToken.None).AsTask().WaitAsync(Hang);
    }

    [Fact]
    public async Task WaitAsync_ManyAdders_LosesNothing()
    {
        const int Adders = 4;
        const int Each = 2000;
        var changes = new ContentChanges();
        var adding = Enumerable.Range(0, Adders).Select(adder => Task.Run(() =>
        {
            for (var i = 0; i < Each; i++)
            {
                changes.Add(Name((adder * Each) + i));
            }
        })).ToArray();

        var seen = new HashSet<Digest>();
        while (seen.Count < Adders * Each)
        {
            await changes.WaitAsync(CancellationToken.None).AsTask().WaitAsync(Hang);
            var drained = changes.Drain();
            Assert.NotEmpty(drained);
            seen.UnionWith(drained);
        }

        await Task.WhenAll(adding);
        Assert.Empty(changes.Drain());
    }

    private static Digest Name(int number) => Digest.OfSha256(Encoding.ASCII.GetBytes($"{number}"));
}
