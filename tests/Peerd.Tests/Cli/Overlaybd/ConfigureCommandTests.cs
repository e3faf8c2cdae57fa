using System.Text;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Cli.Overlaybd;

public sealed class ConfigureCommandTests : IDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("peerd-configure-test-");

    private string Settings => Path.Combine(_folder.FullName, "overlaybd.json");

    public void Dispose() => _folder.Delete(recursive: true);

    [Fact]
    public async Task Configure_Overlaybd_SaysWhatChangedAndWhatToRestart()
    {
        await File.WriteAllTextAsync(Settings, """{"p2pConfig": {"enable": true, "address": "http://other:1/x?sig=S3cret"}}""");

        var first = await RunAsync();
        var second = await RunAsync();
        var removed = await RunAsync("--remove");
        var again = await RunAsync("--remove");

        Assert.All([first, second, removed, again], run => Assert.Equal((0, ""), (run.ExitCode, run.Error)));
        Assert.Equal(
            [
                $"{Settings}: p2p is now on, address http://localhost:30000/blobs; it was on, address http://other:1/x?…",
                "overlaybd reads no more from http://other:1/x?…; 'peerd configure overlaybd --remove' brings back what was there before us",
                $"{Settings}.peerd-backup is the file as it was before us",
                "overlaybd reads this only when it starts: systemctl restart overlaybd-tcmu",
                "That re-attaches the devices of all running containers; their reads wait for it",
            ],
            first.Lines);
        Assert.Equal(
            [$"{Settings}: nothing to do, p2p is on, address http://localhost:30000/blobs", $"{Settings}.peerd-backup is the file as it was before us"],
            second.Lines);
        Assert.Equal(
            [
                $"{Settings}: p2p is now on, address http://other:1/x?…; it was on, address http://localhost:30000/blobs",
                "overlaybd reads this only when it starts: systemctl restart overlaybd-tcmu",
                "That re-attaches the devices of all running containers; their reads wait for it",
            ],
            removed.Lines);
        Assert.Equal([$"{Settings}: nothing to do, p2p is on, address http://other:1/x?…, which was not set by this command"], again.Lines);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task ConfigureOrRemove_LeftoversThatCannotBeDeleted_AreTold(bool isRemoved)
    {
        await File.WriteAllTextAsync(Settings, "{}", TestContext.Current.CancellationToken);
        if (isRemoved)
        {
            await RunAsync();
        }

        var (stuck, other) = (Path.Combine(_folder.FullName, ".overlaybd.json.abc.partial"), Path.Combine(_folder.FullName, ".overlaybd.json.def.partial"));
        foreach (var old in new[] { stuck, other })
        {
            await File.WriteAllTextAsync(old, "x", TestContext.Current.CancellationToken);
            File.SetLastWriteTimeUtc(old, DateTime.UnixEpoch);
        }

        using var mounts = new CacheFolder();
        mounts.Pin(stuck);

        var run = isRemoved ? await RunAsync("--remove") : await RunAsync();

        Assert.Equal(0, run.ExitCode);
        Assert.Contains($"p2p is now {(isRemoved ? "not set" : "on")}", run.Lines[0], StringComparison.Ordinal);
        Assert.StartsWith($"peerd configure: {stuck} ", Assert.Single(run.Error.TrimEnd('\n').Split('\n')), StringComparison.Ordinal);
        Assert.False(File.Exists(other));
    }

    [Fact]
    public async Task Configure_Json_PrintsOneObject()
    {
        await File.WriteAllTextAsync(Settings, "{}");

        var first = await RunAsync("--json");
        var second = await RunAsync("--json");
        var removed = await RunAsync("--json", "--remove");

        Assert.Equal(
            $$$"""{"file":"{{{Settings}}}","changed":true,"before":{"enabled":null,"address":null},"after":{"enabled":true,"address":"http://localhost:30000/blobs"},"backup":"{{{Settings}}}.peerd-backup","restart":"systemctl restart overlaybd-tcmu"}""",
            Assert.Single(first.Lines));
        Assert.Equal(
            $$$"""{"file":"{{{Settings}}}","changed":false,"before":{"enabled":true,"address":"http://localhost:30000/blobs"},"after":{"enabled":true,"address":"http://localhost:30000/blobs"},"backup":"{{{Settings}}}.peerd-backup","restart":null}""",
            Assert.Single(second.Lines));
        Assert.Equal(
            $$$"""{"file":"{{{Settings}}}","changed":true,"before":{"enabled":true,"address":"http://localhost:30000/blobs"},"after":{"enabled":null,"address":null},"backup":null,"restart":"systemctl restart overlaybd-tcmu"}""",
            Assert.Single(removed.Lines));
        Assert.Equal("{}", await File.ReadAllTextAsync(Settings));
    }

    [Theory]
    [InlineData("", "is not JSON: ")]
    [InlineData("nonsense", "is not JSON: ")]
    [InlineData("[1]", "is an array, not an object")]
    [InlineData("{\"p2pConfig\": 1}", "has a p2pConfig that is a number, not an object")]
    [InlineData("\ufeff{}", "begins with a byte order mark")]
    public async Task Configure_FileCannotBeUsed_SaysWhyAndWritesNothing(string text, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(text);
        await File.WriteAllBytesAsync(Settings, bytes);

        await AssertFailsAsync($"peerd configure: {Settings} {expected}");

        Assert.Equal(bytes, await File.ReadAllBytesAsync(Settings));
    }

    [Fact]
    public async Task Configure_NoFile_SaysSo()
    {
        await AssertFailsAsync($"peerd configure: {Settings} does not exist: is overlaybd installed here?");
        File.CreateSymbolicLink(Settings, "nowhere");
        await AssertFailsAsync($"peerd configure: {Settings} does not exist: is overlaybd installed here?");
    }

    [Fact]
    public async Task Configure_LinkToItself_SaysSo()
    {
        File.CreateSymbolicLink(Settings, "overlaybd.json");
        await AssertFailsAsync($"peerd configure: {Settings} cannot be found: Too many levels of symbolic links");
    }

    [Fact]
    public async Task Configure_Folder_SaysSo()
    {
        Directory.CreateDirectory(Settings);
        await AssertFailsAsync($"peerd configure: {Settings} cannot be read: it is not a file");
    }

    [Fact]
    public async Task Configure_HugeFile_SaysSo()
    {
        await File.WriteAllTextAsync(Settings, new string(' ', (1 << 20) - 1) + "{}");
        await AssertFailsAsync($"peerd configure: {Settings} cannot be read: it is larger than 1MiB");
    }

    private async Task AssertFailsAsync(string expected)
    {
        foreach (var option in new[] { "--json", "--remove" })
        {
            var run = await RunAsync(option);

            Assert.Equal((1, ""), (run.ExitCode, run.Output));
            Assert.StartsWith(expected, run.Error, StringComparison.Ordinal);
            Assert.Equal(1, run.Error.Count(c => c == '\n'));
        }

        Assert.InRange(_folder.GetFileSystemInfos().Length, 0, 1);
    }

    private Task<CommandRun> RunAsync(params string[] options) => CommandRun.OfAsync(["configure", "overlaybd", "--file", Settings, .. options]);
}
