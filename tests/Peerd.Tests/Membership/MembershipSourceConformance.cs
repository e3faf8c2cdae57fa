using Peerd.Node.Membership;

namespace Peerd.Tests.Membership;

/// <summary>What holds for every <see cref="IMembershipSource"/>: a class per implementation inherits these tests.</summary>
public abstract class MembershipSourceConformance
{
    /// <summary>How long a test waits for a step before it fails.</summary>
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>A running source, and a way to change what it tells.</summary>
    private protected abstract ISubject Create(MemberList initial);

    private protected interface ISubject : IAsyncDisposable
    {
        IMembershipSource Source { get; }

        /// <summary>Makes the list what the source finds; returns when the source has had its chance to see it.</summary>
        Task ChangeAsync(MemberList list);
    }

    [Fact]
    public async Task WatchAsync_Starting_TellsTheListAsItIs()
    {
        await using var subject = Create(TestMembership.ListOf("b", "a"));
        await using var lists = Watch(subject);

        Assert.Equal(TestMembership.ListOf("a", "b"), await NextAsync(lists));
    }

    [Fact]
    public async Task WatchAsync_MembersComeAndGo_TellsEachList()
    {
        await using var subject = Create(TestMembership.ListOf("a"));
        await using var lists = Watch(subject);
        await NextAsync(lists);

        foreach (var names in new string[][] { ["a", "b"], ["b"], ["b", "c", "d"] })
        {
            await subject.ChangeAsync(TestMembership.ListOf(names));
            Assert.Equal(TestMembership.ListOf(names), await NextAsync(lists));
        }
    }

    [Fact]
    public async Task WatchAsync_OnlyZoneChanges_TellsTheNewList()
    {
        await using var subject = Create(TestMembership.ListOf("a", "b"));
        await using var lists = Watch(subject);
        await NextAsync(lists);
        var changed = new MemberList([TestMembership.MemberOf("a"), TestMembership.MemberOf("b") with { Zone = "other" }]);

        await subject.ChangeAsync(changed);

        Assert.Equal(changed, await NextAsync(lists));
    }

    [Fact]
    public async Task WatchAsync_SameListAgain_IsNotRepeated()
    {
        await using var subject = Create(TestMembership.ListOf("a", "b"));
        await using var lists = Watch(subject);
        await NextAsync(lists);

        await subject.ChangeAsync(TestMembership.ListOf("b", "a"));
        await subject.ChangeAsync(TestMembership.ListOf("a"));

        Assert.Equal(TestMembership.ListOf("a"), await NextAsync(lists));
    }

    [Fact]
    public async Task WatchAsync_SlowReader_MissesListsButNotTheLast()
    {
        await using var subject = Create(TestMembership.ListOf("a"));
        await using var slow = Watch(subject);
        await NextAsync(slow);
        await using var fast = Watch(subject);
        await NextAsync(fast);

        foreach (var names in new string[][] { ["b"], ["c"], ["d"] })
        {
            await subject.ChangeAsync(TestMembership.ListOf(names));
            Assert.Equal(TestMembership.ListOf(names), await NextAsync(fast));
        }

        Assert.Equal(TestMembership.ListOf("d"), await NextAsync(slow));
    }

    [Fact]
    public async Task WatchAsync_OneReaderStops_OthersGoOn()
    {
        await using var subject = Create(TestMembership.ListOf("a"));
        using var cancellation = new CancellationTokenSource();
        var stopped = subject.Source.WatchAsync(cancellation.Token).GetAsyncEnumerator(CancellationToken.None);
        await stopped.MoveNextAsync();
        await using var other = Watch(subject);
        await NextAsync(other);
        var waiting = stopped.MoveNextAsync().AsTask();

        await cancellation.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting.WaitAsync(Patience));
        await stopped.DisposeAsync();

        await subject.ChangeAsync(TestMembership.ListOf("b"));
        Assert.Equal(TestMembership.ListOf("b"), await NextAsync(other));
    }

    private protected static IAsyncEnumerator<MemberList> Watch(ISubject subject) =>
        subject.Source.WatchAsync(CancellationToken.None).GetAsyncEnumerator(CancellationToken.None);

    private protected static async Task<MemberList> NextAsync(IAsyncEnumerator<MemberList> lists)
    {
        Assert.True(await lists.MoveNextAsync().AsTask().WaitAsync(Patience));
        return lists.Current;
    }
}
