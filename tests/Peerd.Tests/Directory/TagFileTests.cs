using Microsoft.Extensions.Logging.Testing;
using Microsoft.Extensions.Options;
using Peerd.Contracts;
using Peerd.Node.Directory;
using Peerd.Node.Storage;
using Peerd.Tests.Hosting;
using Peerd.Tests.Mesh;
using Peerd.Tests.Storage;

// Not Peerd.Tests.Directory, which would hide System.IO.Directory from all tests.
namespace Peerd.Tests.Directories;

/// <summary>Saves of the tags that meet each other, or a handover, on a disk that takes long.</summary>
public sealed class TagFileTests : IAsyncLifetime
{
    private readonly PeersSetup _setup = new("self");
    private readonly CacheFolder _folder = new();
    private readonly FakeLogger<TagFile> _log = new();
    private readonly ManualResetEventSlim _hangs = new();
    private readonly TagDirectory _tags;
    private readonly PieceCache _cache;
    private readonly TagFile _file;
    private int _flushes;

    public TagFileTests()
    {
        _tags = new TagDirectory(Options.Create(new TagOptions()), _setup.Rings, _setup.Self, _setup.Time);
        _cache = _folder.Open();
        _file = new TagFile(_tags, Options.Create(new CacheOptions { Directory = _folder.Path }), _cache, _setup.Time, _log)
        {
            Flush = _ =>
            {
                Interlocked.Increment(ref _flushes);
                _hangs.Wait(Wait.Longest);
            },
        };
    }

    public async ValueTask InitializeAsync() => await _setup.StartAsync();

    public async ValueTask DisposeAsync()
    {
        _file.Dispose();
        _cache.Dispose();
        _folder.Dispose();
        _hangs.Dispose();
        await _setup.DisposeAsync();
    }

    [Fact]
    public async Task Save_AnotherIsUnderWay_WaitsForItAndSavesWhatIsNew()
    {
        var first = await BeginAsync("one");
        Resolve("two");
        var second = new Thread(_file.SaveChanges);
        second.Start();
        await Wait.UntilAsync(() => !second.IsAlive || second.ThreadState.HasFlag(ThreadState.WaitSleepJoin), "it waits");

        _hangs.Set();
        await first;
        await Wait.UntilAsync(() => !second.IsAlive, "it has saved");

        Assert.Equal(2, Volatile.Read(ref _flushes));
        Assert.Equal(0, _log.Collector.Count);
        Assert.Equal([Path.Combine(_folder.Path, TagFile.Name)], _folder.Files($"{TagFile.Name}*"));
    }

    [Fact]
    public async Task Save_DirectoryIsReleasedMeanwhile_ReleaseWaitsAndNothingIsSavedAfterIt()
    {
        var saving = await BeginAsync("one");
        var releasing = _cache.ReleaseAsync(TestContext.Current.CancellationToken);
        Assert.False(releasing.IsCompleted);

        _hangs.Set();
        await saving;
        await releasing;
        Resolve("two");
        _file.SaveChanges();

        Assert.Equal(1, Volatile.Read(ref _flushes));
        Assert.Equal([Path.Combine(_folder.Path, TagFile.Name)], _folder.Files($"{TagFile.Name}*"));
    }

    [Fact]
    public async Task SaveNow_DiskHangs_IsNotWaitedForLong()
    {
        var saving = await BeginAsync("one");
        Resolve("two");

        var now = _file.SaveNowAsync();
        _setup.Time.Advance(TimeSpan.FromSeconds(2));
        await now.WaitAsync(Wait.Longest, TestContext.Current.CancellationToken);

        Assert.False(saving.IsCompleted);
        _hangs.Set();
        await saving;

        // After this the one that was not waited for has nothing to write any more.
        _file.SaveChanges();
    }

    private async Task<Task> BeginAsync(string tag)
    {
        Resolve(tag);
        var saving = Task.Run(_file.SaveChanges, TestContext.Current.CancellationToken);
        await Wait.UntilAsync(() => Volatile.Read(ref _flushes) == 1, "it writes");
        return saving;
    }

    private void Resolve(string tag) => _tags.Resolved(new TagKey("registry.test", "library/test", tag), Digest.OfSha256("x"u8), "type", 1);
}
