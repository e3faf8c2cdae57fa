using System.Net;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Content;

/// <summary>Reading through a node whose disk is full, read-only, damaged, or left by a process that was killed.</summary>
public sealed class CacheFailureTests
{
    private const int MiB = 1024 * 1024;

    [Fact]
    public async Task Get_DiskFull_IsRight()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("8m");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path);
        var sample = mesh.Blob((32 * MiB) + 5);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        (await mesh.Node.GetAsync(sample.Digest, "bytes=-100000")).ShouldBe(sample.Bytes.AsSpan(sample.Bytes.Length - 100_000));
    }

    [Fact]
    public async Task Get_DiskFullAndSeveralReaders_AreRight()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("8m");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path);
        var sample = mesh.Blob((16 * MiB) + 5);

        var answers = await Task.WhenAll(Enumerable.Range(0, 3).Select(_ => mesh.Node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
    }

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    public async Task Get_DiskFullAndLittleMemory_IsRightToTheLastByte(int readers)
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("2m");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path, settings: ["--Peerd:Cache:Memory=4MiB"]);
        var sample = mesh.Blob((32 * MiB) + 5);

        var answers = await Task.WhenAll(Enumerable.Range(0, readers).Select(_ => mesh.Node.GetAsync(sample.Digest)));

        Assert.All(answers, answer => answer.ShouldBe(sample.Bytes));
    }

    [Fact]
    public async Task Get_DiskFullAndARestThatIsLongerThanWhatIsReadAhead_IsRightToTheLastByte()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("2m");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path, settings: ["--Peerd:Cache:Memory=16MiB"]);
        var sample = mesh.Blob((48 * MiB) + 5);

        (await mesh.Node.GetAsync(sample.Digest, $"bytes={4 * MiB}-")).ShouldBe(sample.Bytes.AsSpan(4 * MiB));
    }

    [Fact]
    public async Task Get_ReadOnlyDisk_IsRight()
    {
        using var folder = new CacheFolder();
        folder.MountTmpfs("32m");
        var early = TestMesh.NewSample(MiB);
        using (var cache = folder.Open())
        {
            early.WriteAll(cache);
        }

        folder.Remount("ro");
        await using var mesh = await TestMesh.StartAsync(cache: folder.Path);
        var sample = mesh.Blob((16 * MiB) + 5);

        (await mesh.Node.GetAsync(early.Digest)).ShouldBe(early.Bytes);
        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.False(mesh.Node.Cache.IsWritable);
    }

    [Fact]
    public async Task Get_FramesOnDiskDamagedAndRestart_AreFetchedAgain()
    {
        using var folder = new CacheFolder();
        SampleContent sample;
        await using (var mesh = await TestMesh.StartAsync(cache: folder.Path))
        {
            sample = mesh.Blob((3 * MiB) + 5);
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        Damage(folder, 5, (2 * MiB) + 17, (3 * MiB) + 4);
        await using var restarted = await TestMesh.StartAsync(cache: folder.Path);
        restarted.Registry.AddBlob(sample.Bytes);

        (await restarted.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        Assert.InRange(restarted.Registry.BytesOf(sample.Digest), 1, MiB);
        Assert.InRange(restarted.Node.IntegrityFailures, 1, 3);
        (await restarted.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Get_FramesOnDiskDamagedAndOriginGone_AreFetchedFromAPeer()
    {
        using var folder = new CacheFolder();
        SampleContent sample;
        await using (var before = await TestMesh.StartAsync(peers: 1, cache: folder.Path))
        {
            sample = before.BlobOwnedBy((3 * MiB) + 5, before.Node.Name);
            (await before.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
        }

        Damage(folder, MiB + 1);
        await using var mesh = await TestMesh.StartAsync(peers: 1, cache: folder.Path);
        mesh.Peer.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        mesh.Registry.AnswerWith(HttpStatusCode.ServiceUnavailable);
        await mesh.Peer.AnnounceAsync(mesh.Node, sample);

        (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
    }

    [Fact]
    public async Task Get_AfterACrash_IsServedWithoutTheOrigin()
    {
        using var crashed = new CacheFolder();
        SampleContent whole;
        using (var folder = new CacheFolder())
        {
            await using var mesh = await TestMesh.StartAsync(cache: folder.Path);
            whole = mesh.Blob((3 * MiB) + 5);
            (await mesh.Node.GetAsync(whole.Digest)).ShouldBe(whole.Bytes);

            // What a kill leaves: files as they are while the process runs.
            CopyFiles(folder.Path, crashed.Path);
        }

        await using var restarted = await TestMesh.StartAsync(cache: crashed.Path);

        (await restarted.Node.GetAsync(whole.Digest)).ShouldBe(whole.Bytes);
        Assert.Empty(restarted.Registry.Requests);
    }

    private static void Damage(CacheFolder folder, params int[] offsets)
    {
        using var file = File.OpenHandle(Assert.Single(folder.Files("*.data")), FileMode.Open, FileAccess.ReadWrite);
        Span<byte> one = stackalloc byte[1];
        foreach (var offset in offsets)
        {
            RandomAccess.Read(file, one, offset);
            one[0] ^= 1;
            RandomAccess.Write(file, one, offset);
        }
    }

    private static void CopyFiles(string from, string to)
    {
        foreach (var path in Directory.GetFiles(from, "*", SearchOption.AllDirectories).Where(path => Path.GetFileName(path) != "lock"))
        {
            var target = Path.Combine(to, Path.GetRelativePath(from, path));
            Directory.CreateDirectory(Path.GetDirectoryName(target)!);
            using var source = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using var copy = File.Create(target);
            source.CopyTo(copy);
        }
    }
}
