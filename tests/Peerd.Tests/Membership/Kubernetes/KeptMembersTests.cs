using System.Net;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Testing;
using Peerd.Node.Membership;
using Peerd.Node.Membership.Kubernetes;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Membership.Kubernetes;

/// <summary>What becomes of the last list of members on disk, and of what it says after a restart.</summary>
public sealed class KeptMembersTests : IAsyncLifetime
{
    private static readonly TimeSpan Settle = KubernetesMembershipSource.SettleTime;

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-kept-");
    private readonly ArmedTime _time = new();
    private readonly FakeLogger<KubernetesMembershipSource> _log = new();
    private FakeApiServer _api = null!;

    private string StateFile => Path.Combine(_folder.FullName, "state", "members.json");

    public async ValueTask InitializeAsync()
    {
        _api = await FakeApiServer.StartAsync();
        _api.Set("a", "10.0.0.1");
        _api.Set("b", "10.0.0.2");
    }

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task Save_DiskWasFull_IsRepeatedWithoutAChange()
    {
        // As good as full: nothing can be written there.
        await File.WriteAllTextAsync(Path.GetDirectoryName(StateFile)!, string.Empty, TestContext.Current.CancellationToken);
        await using var source = await StartAsync();
        await _time.PassAsync(Settle);
        await _time.PassAsync(KeptMembers.Pause);
        await _time.ArmedAsync(KeptMembers.Pause);

        File.Delete(Path.GetDirectoryName(StateFile)!);
        _time.Advance(KeptMembers.Pause);

        await Wait.UntilAsync(() => NamesOf(Saved()).SequenceEqual(["a", "b"]), "the list is saved");
        Assert.Single(_log.Collector.GetSnapshot(), record => record.Level >= LogLevel.Warning && record.Message.StartsWith("The list of members cannot be saved", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Save_Hangs_ListsGoOn()
    {
        using var hangs = new ManualResetEventSlim();
        await using (var source = await StartAsync(new MembersFile(StateFile, _log) { Flush = _ => hangs.Wait(Wait.Longest) }))
        {
            await ListsAsync(source, "a", "b");
            foreach (var name in new[] { "c", "d" })
            {
                await JoinsAsync(source, name);
            }

            Assert.Null(Saved());
        }

        // And the end of the source has not waited for it.
        Assert.Null(Saved());
        hangs.Set();
        await Wait.UntilAsync(() => Saved() is not null, "the first list is saved");
    }

    // The process ends then, and is started again, in place of going on with one of its parts missing.
    [Fact]
    public async Task Save_FailsAsNobodyForesaw_TheSourceEndsWithThat()
    {
        await using var source = await StartAsync(new MembersFile(StateFile, _log) { Flush = _ => throw new InvalidOperationException("unforeseen") });
        await _time.PassAsync(Settle);

        var end = await Assert.ThrowsAsync<InvalidOperationException>(() => source.Execution.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken));

        Assert.Equal("unforeseen", end.Message);
    }

    [Fact]
    public async Task Save_FormerProcessIsAboutToSaveToo_EachSavesItsOwn()
    {
        using var hangs = new ManualResetEventSlim();
        var former = new MembersFile(StateFile, _log) { Flush = _ => hangs.Wait(Wait.Longest) };
        var saving = Task.Run(() => former.Save(ListOf("former")), TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => Directory.Exists(Path.GetDirectoryName(StateFile)!) && Directory.GetFiles(Path.GetDirectoryName(StateFile)!).Length > 0, "it writes");

        Assert.True(new MembersFile(StateFile, _log).Save(ListOf("next")));
        hangs.Set();
        await saving;

        Assert.Equal([StateFile], Directory.GetFiles(Path.GetDirectoryName(StateFile)!));
        Assert.Equal(["next"], NamesOf(Saved()));
    }

    // Each save has the disk write, and under churn the list is another one each second.
    [Fact]
    public async Task Save_ListChangesAllTheTime_IsSavedOnceInAWhile()
    {
        var saves = 0;
        await using var source = await StartAsync(new MembersFile(StateFile, _log) { Flush = _ => saves++ });
        await ListsAsync(source, "a", "b");
        await _time.ArmedAsync(KeptMembers.Pause);

        foreach (var name in new[] { "c", "d", "e" })
        {
            await JoinsAsync(source, name);
        }

        Assert.Equal(["a", "b"], NamesOf(Saved()));
        _time.Advance(KeptMembers.Pause);
        await _time.ArmedAsync(KeptMembers.Pause);

        Assert.Equal(["a", "b", "c", "d", "e"], NamesOf(Saved()));
        Assert.Equal(2, saves);
    }

    [Fact]
    public async Task Save_SourceEnds_LastListIsSaved()
    {
        await using (var source = await StartAsync())
        {
            await ListsAsync(source, "a", "b");
            await _time.ArmedAsync(KeptMembers.Pause);
            await JoinsAsync(source, "c");
            Assert.Equal(["a", "b"], NamesOf(Saved()));
        }

        Assert.Equal(["a", "b", "c"], NamesOf(Saved()));
    }

    // It does not save any more then, and that is the list with which the other one begins.
    [Fact]
    public async Task Save_LaterProcessIsAboutToTakeOver_LastListIsSaved()
    {
        var isOurs = true;
        await using var source = await StartAsync(new MembersFile(StateFile, _log) { IsOurs = () => isOurs });
        await ListsAsync(source, "a", "b");
        await _time.ArmedAsync(KeptMembers.Pause);
        await JoinsAsync(source, "c");
        Assert.Equal(["a", "b"], NamesOf(Saved()));

        await source.KeepAsync();

        Assert.Equal(["a", "b", "c"], NamesOf(Saved()));
        isOurs = false;
    }

    [Fact]
    public async Task Save_LaterProcessIsAboutToTakeOverAndDiskHangs_IsNotWaitedForLong()
    {
        using var hangs = new ManualResetEventSlim();
        await using (var source = await StartAsync(new MembersFile(StateFile, _log) { Flush = _ => hangs.Wait(Wait.Longest) }))
        {
            await ListsAsync(source, "a", "b");
            var keeping = source.KeepAsync();
            await _time.PassAsync(KeptMembers.LastTimeout);
            await keeping.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);
        }

        Assert.Null(Saved());
        hangs.Set();
        await Wait.UntilAsync(() => Saved() is not null, "the first list is saved");
    }

    // The later process may know more, and be set otherwise.
    [Fact]
    public async Task Save_LaterProcessHasTakenOver_ItsListStaysUntilItIsGone()
    {
        var isOurs = true;
        await using (var source = await StartAsync(new MembersFile(StateFile, _log) { IsOurs = () => isOurs }))
        {
            await ListsAsync(source, "a", "b");
            await _time.ArmedAsync(KeptMembers.Pause);
            isOurs = false;
            Assert.True(new MembersFile(StateFile, _log).Save(ListOf("next")));

            await JoinsAsync(source, "c");
            _time.Advance(KeptMembers.Pause);
            await _time.ArmedAsync(KeptMembers.Pause);
            Assert.Equal(["next"], NamesOf(Saved()));

            isOurs = true;
            _time.Advance(KeptMembers.Pause);
            await _time.ArmedAsync(KeptMembers.Pause);
            Assert.Equal(["a", "b", "c"], NamesOf(Saved()));

            isOurs = false;
            Assert.True(new MembersFile(StateFile, _log).Save(ListOf("next")));
            await JoinsAsync(source, "d");
        }

        Assert.Equal(["next"], NamesOf(Saved()));
    }

    [Fact]
    public void Save_LaterProcessTakesOverMeanwhile_ItsListStays()
    {
        var isOurs = true;
        var former = new MembersFile(StateFile, _log)
        {
            IsOurs = () => isOurs,
            Flush = _ =>
            {
                isOurs = false;
                File.WriteAllText(StateFile, "[]");
            },
        };

        Assert.False(former.Save(ListOf("former")));

        Assert.Equal([StateFile], Directory.GetFiles(Path.GetDirectoryName(StateFile)!));
        Assert.Empty(NamesOf(Saved()));
        Assert.Equal(0, _log.Collector.Count);
    }

    [Fact]
    public async Task Start_NodeWasNotReadyLongAgo_IsNoMember()
    {
        Assert.True(new MembersFile(StateFile, _log).Save(ListOf("a")));
        _api.Set("b", "10.0.0.2", isReady: false);
        _api.Set("c", "10.0.0.3");

        await using var source = await StartAsync();
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.IndexOf("c") >= 0);

        Assert.DoesNotContain(source.Lists, list => list.IndexOf("b") >= 0);
        _api.Set("b", "10.0.0.2");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(["a", "b", "c"]));
    }

    private static IEnumerable<string> NamesOf(MemberList? list) => (list ?? MemberList.Empty).Members.Select(member => member.Name);

    private static MemberList ListOf(params string[] names) => new(names.Select(name => new Member(name, new DnsEndPoint("10.0.0.1", 30001), string.Empty)));

    /// <summary>Lets the first list come.</summary>
    private async Task ListsAsync(RunningSource source, params string[] names)
    {
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => NamesOf(list).SequenceEqual(names));
    }

    /// <summary>Has a node come.</summary>
    private async Task JoinsAsync(RunningSource source, string name)
    {
        _api.Set(name, "10.0.0.3");
        await _time.PassAsync(Settle);
        await source.UntilAsync(list => list.IndexOf(name) >= 0);
    }

    private MemberList? Saved() => new MembersFile(StateFile, _log).Load();

    private Task<RunningSource> StartAsync(MembersFile? file = null) => RunningSource.StartAsync(_api.Url, new MembershipOptions { StateFile = StateFile }, _log, _time, file: file);
}
