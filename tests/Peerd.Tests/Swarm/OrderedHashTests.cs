using Peerd.Contracts;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Swarm;

public sealed class OrderedHashTests : IDisposable
{
    private readonly OpenSample _open = new((3 * 64 * 1024) + 5);
    private readonly OrderedHash _hash = new();

    public void Dispose() => _open.Dispose();

    [Fact]
    public async Task RunAsync_FramesArriveInAnyOrder_TheWholeIsHashedInOrder()
    {
        using var hash = _open.Sample.Digest.CreateHash();
        var user = new User(_open.Content);
        var run = _hash.RunAsync(_open.Content, hash, user, TestContext.Current.CancellationToken);
        foreach (var frame in new[] { 2, 0, 3, 1 })
        {
            _open.Sample.WriteFrame(_open.Content, frame);
        }

        var checksums = await run;

        Assert.True(_open.Sample.Digest.Matches(hash));
        Assert.Equal([1, 2, 3, 4], user.Hashed);
        Assert.Equal([.. Enumerable.Range(0, 4).Select(frame => FrameChecksum.Compute(_open.Sample.Frame(frame)))], checksums);
        Assert.Equal(4, _hash.Frames);
    }

    [Fact]
    public async Task RunAsync_AFrameIsLostBeforeItsTurn_IsToldAndWaitedForAgain()
    {
        using var hash = _open.Sample.Digest.CreateHash();
        Write();
        var user = new User(_open.Content) { LoseBefore = 2, Lost = frame => _open.Sample.WriteFrame(_open.Content, frame) };

        await _hash.RunAsync(_open.Content, hash, user, TestContext.Current.CancellationToken);

        Assert.True(_open.Sample.Digest.Matches(hash));
        Assert.Equal([2], user.Losses);
    }

    [Fact]
    public async Task Allows_AFrameThatWasHashed_OnlyTheSameUntilAllIsForgotten()
    {
        using var hash = _open.Sample.Digest.CreateHash();
        Assert.True(_hash.Allows(1, 7));
        Write();
        var checksums = await _hash.RunAsync(_open.Content, hash, new User(_open.Content), TestContext.Current.CancellationToken);

        Assert.Equal((true, false), (_hash.Allows(1, checksums[1]), _hash.Allows(1, checksums[1] + 1)));

        _hash.Forget(frameCount: 4);
        Assert.Equal((true, 0), (_hash.Allows(1, checksums[1] + 1), _hash.Frames));
    }

    private void Write()
    {
        for (var frame = 0; frame < _open.Sample.Layout.FrameCount; frame++)
        {
            _open.Sample.WriteFrame(_open.Content, frame);
        }
    }

    private sealed class User(CachedContent content) : IOrderedHashUser
    {
        public List<int> Hashed { get; } = [];

        public List<int> Losses { get; } = [];

        public int? LoseBefore { get; set; }

        public Action<int> Lost { get; init; } = static _ => { };

        public async ValueTask WaitForFrameAsync(int frame, CancellationToken cancellationToken)
        {
            await content.WaitForFrameAsync(frame, cancellationToken);
            if (frame == LoseBefore)
            {
                LoseBefore = null;
                content.DropPiece(frame);
            }
        }

        public void FrameLost(int frame)
        {
            Losses.Add(frame);
            Lost(frame);
        }

        public ValueTask HashedAsync(int frames, CancellationToken cancellationToken)
        {
            Hashed.Add(frames);
            return ValueTask.CompletedTask;
        }
    }
}
