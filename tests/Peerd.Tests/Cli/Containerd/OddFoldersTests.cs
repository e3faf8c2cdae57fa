using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text;
using Peerd.Node.Cli.Containerd;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Cli.Containerd;

/// <summary>Folders of hosts as they are found on nodes: whatever counted before goes on to count, and what is somebody else's is never touched.</summary>
public sealed class OddFoldersTests : IDisposable
{
    private const string Facade = "[host.\"http://127.0.0.1:30000\"]\n  capabilities = [\"pull\", \"resolve\"]\n  dial_timeout = \"1s\"\n\n";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly DirectoryInfo _folder = System.IO.Directory.CreateTempSubdirectory("peerd-odd-certs-test-");

    public void Dispose() => _folder.Delete(recursive: true);

    // Where the way out leads over _default only, a pull would fail when the facade does not have it.
    [Theory]
    [InlineData(
        "server = 'https://proxy.test' # all\nca = [\"corp.crt\", '/etc/ssl/corp.crt']\n[header]\n  x = \"1\"\n",
        "server = 'https://proxy.test' # all\nca = [\"../_default/corp.crt\", '/etc/ssl/corp.crt']\n\n" + Facade + "[header]\n  x = \"1\"\n")]
    [InlineData(
        "\uFEFFskip_verify = true\r\n# theirs\r\n[host.\"https://a.test\"]\r\nclient = [[\"a.cert\", \"sub/a.key\"], [\"/b.cert\", \"/b.key\"]]",
        "server = \"https://ghcr.io\"\nskip_verify = true\r\n# theirs\n\n" + Facade + "[host.\"https://a.test\"]\r\nclient = [[\"../_default/a.cert\", \"../_default/sub/a.key\"], [\"/b.cert\", \"/b.key\"]]\n")]
    [InlineData("server = \"https://proxy.test\"\n[host.\"http://127.0.0.1:30000\"]\n", "server = \"https://ghcr.io\"\n\n" + Facade)]
    [InlineData("host = { \"https://a.test\" = { } }\n", "server = \"https://ghcr.io\"\n\n" + Facade)]
    [InlineData("[host", "server = \"https://ghcr.io\"\n\n" + Facade)]
    public async Task Configure_DefaultIsHiddenFromNowOn_WhatItSaidIsCarriedOver(string byDefault, string expected)
    {
        Write("_default/hosts.toml", byDefault);

        var run = await RunAsync("--registry", "ghcr.io");

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains(expected.Contains("proxy.test", StringComparison.Ordinal) || expected.Contains("a.test", StringComparison.Ordinal) ? "carried over" : "no longer counts", Assert.Single(run.Lines), StringComparison.Ordinal);
        Assert.Equal($"{expected}# <<< peerd\n", Read("ghcr.io/hosts.toml").Split('\n', 2)[1]);
        Assert.StartsWith("unchanged", Assert.Single((await RunAsync("--registry", "ghcr.io")).Lines), StringComparison.Ordinal);
        await RunAsync("--remove");
        Assert.False(System.IO.Directory.Exists(Path.Combine(_folder.FullName, "ghcr.io")));
    }

    [Fact]
    public async Task Configure_CertificatesBesideDefault_AreCarriedOver()
    {
        Write("_default/corp.crt", "x");
        Write("_default/both.cert", "x");

        await RunAsync("--registry", "ghcr.io", "--registry", "http://reg.test", "--default");

        Assert.DoesNotContain("corp", Read("reg.test/hosts.toml"), StringComparison.Ordinal);
        Assert.Contains("server = \"https://ghcr.io\"\n", Read("ghcr.io/hosts.toml"), StringComparison.Ordinal);
        Assert.Contains("ca = [\"../_default/corp.crt\"]\nclient = [[\"../_default/both.cert\", \"../_default/both.cert\"]]\n", Read("ghcr.io/hosts.toml"), StringComparison.Ordinal);
        Assert.Contains("\nca = [\"corp.crt\"]\nclient = [[\"both.cert\", \"both.cert\"]]\n", Read("_default/hosts.toml"), StringComparison.Ordinal);
    }

    // containerd takes an empty file for none.
    [Fact]
    public async Task Configure_EmptyFileBesideCertificates_CertificatesGoOnToCount()
    {
        Write("ghcr.io/hosts.toml", "");
        Write("ghcr.io/ca.crt", "x");

        await RunAsync("--registry", "ghcr.io");

        Assert.Contains("\nca = [\"ca.crt\"]\n", Read("ghcr.io/hosts.toml"), StringComparison.Ordinal);
        Assert.StartsWith("unchanged", Assert.Single((await RunAsync("--registry", "ghcr.io")).Lines), StringComparison.Ordinal);
        await RunAsync("--remove");
        Assert.Equal("", Read("ghcr.io/hosts.toml"));
    }

    [Fact]
    public async Task Configure_OthersHaveTheFacadeAlready_IsLeft()
    {
        const string Theirs = "server = \"https://ghcr.io\"\n[host.\"http://127.0.0.1:30000\"]\n";
        Write("ghcr.io/hosts.toml", Theirs);

        var run = await RunAsync("--registry", "ghcr.io");

        Assert.Equal(0, run.ExitCode);
        Assert.StartsWith("left", Assert.Single(run.Lines), StringComparison.Ordinal);
        Assert.Equal(Theirs, Read("ghcr.io/hosts.toml"));
    }

    [Fact]
    public async Task Configure_ByteOrderMark_IsKeptAndTold()
    {
        Write("ghcr.io/hosts.toml", "\uFEFF# theirs\r\n");
        var before = await File.ReadAllBytesAsync(Path.Combine(_folder.FullName, "ghcr.io/hosts.toml"), TestContext.Current.CancellationToken);

        Assert.Contains("containerd 2 ignores the whole file", Assert.Single((await RunAsync("--registry", "ghcr.io")).Lines), StringComparison.Ordinal);
        await RunAsync("--remove");

        Assert.Equal(before, await File.ReadAllBytesAsync(Path.Combine(_folder.FullName, "ghcr.io/hosts.toml"), TestContext.Current.CancellationToken));
    }

    [Fact]
    public async Task Configure_Prune_TakesOutRegistriesThatAreNoLongerListed()
    {
        Write("quay.io/hosts.toml", "# theirs\n");
        Write("other.test/hosts.toml", "[host.\"https://theirs.test\"]\n");
        await RunAsync("--registry", "quay.io", "--registry", "ghcr.io", "--registry", "reg.test:5000", "--default");

        var run = await RunAsync("--registry", "reg.test:5000", "--registry", "gcr.io", "--prune");

        Assert.Equal(0, run.ExitCode);
        Assert.Equal(
            ["_default/hosts.toml", "gcr.io/hosts.toml", "other.test/hosts.toml", "quay.io/hosts.toml", "reg.test:5000/hosts.toml"],
            _folder.EnumerateFiles("*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_folder.FullName, file.FullName)).Order(StringComparer.Ordinal));
        Assert.Equal("# theirs\n", Read("quay.io/hosts.toml"));
        Assert.Equal("[host.\"https://theirs.test\"]\n", Read("other.test/hosts.toml"));
        Assert.Contains("30000", Read("_default/hosts.toml"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Remove_SomeRegistries_LeavesTheOthers()
    {
        await RunAsync("--registry", "quay.io", "--registry", "ghcr.io/", "--registry", "reg.test:5000", "--default");

        var run = await RunAsync("--remove", "--registry", "reg.test:5000", "--registry", "ghcr.io");

        Assert.Equal(2, run.Lines.Length);
        Assert.Equal(["_default", "quay.io"], _folder.EnumerateDirectories().Select(folder => folder.Name).Order(StringComparer.Ordinal));
        await RunAsync("--remove", "--default");
        Assert.Equal(["quay.io"], _folder.EnumerateDirectories().Select(folder => folder.Name));
    }

    // In the container of the chart a link may lead out of what is mounted.
    [Fact]
    public async Task Configure_LinksThatLeadNowhere_AreLeftAndTheOthersWritten()
    {
        _folder.CreateSubdirectory("quay.io");
        File.CreateSymbolicLink(Path.Combine(_folder.FullName, "quay.io", "hosts.toml"), "/nowhere/hosts.toml");
        File.CreateSymbolicLink(Path.Combine(_folder.FullName, "gcr.io"), "/nowhere/gcr.io");

        var run = await RunAsync("--registry", "quay.io", "--registry", "gcr.io", "--registry", "ghcr.io");

        Assert.Equal(1, run.ExitCode);
        Assert.Equal(2, run.Lines.Count(line => line.StartsWith("failed", StringComparison.Ordinal) && line.Contains("is a link to /nowhere/", StringComparison.Ordinal)));
        Assert.Equal("/nowhere/hosts.toml", new FileInfo(Path.Combine(_folder.FullName, "quay.io", "hosts.toml")).LinkTarget);
        Assert.Contains("30000", Read("ghcr.io/hosts.toml"), StringComparison.Ordinal);
        Assert.Equal(0, (await RunAsync("--remove")).ExitCode);
    }

    [Fact]
    public async Task ConfigureAndRemove_SharedFileBehindLinks_IsBroughtBackAndTheLinksStay()
    {
        Write("all.toml", "[host.\"https://theirs.test\"]\n");
        foreach (var name in new[] { "quay.io", "ghcr.io" })
        {
            _folder.CreateSubdirectory(name);
            File.CreateSymbolicLink(Path.Combine(_folder.FullName, name, "hosts.toml"), "../all.toml");
        }

        var run = await RunAsync("--registry", "quay.io", "--registry", "ghcr.io");

        Assert.Equal((0, ""), (run.ExitCode, run.Error));
        Assert.Contains("30000", Read("all.toml"), StringComparison.Ordinal);
        Assert.Equal(0, (await RunAsync("--remove")).ExitCode);
        Assert.Equal("[host.\"https://theirs.test\"]\n", Read("all.toml"));
        Assert.Equal("../all.toml", new FileInfo(Path.Combine(_folder.FullName, "quay.io", "hosts.toml")).LinkTarget);
    }

    // A pipe would keep whoever opens it waiting, and what is written in place of a device would be the end of the device.
    [Fact]
    public async Task ConfigureAndRemove_NoFile_IsRefusedAtOnce()
    {
        _folder.CreateSubdirectory("quay.io");
        var pipe = Path.Combine(_folder.FullName, "quay.io", "hosts.toml");
        using (var maker = Process.Start("mkfifo", [pipe]))
        {
            await maker.WaitForExitAsync(TestContext.Current.CancellationToken);
        }

        var run = await RunAsync("--registry", "quay.io").WaitAsync(Patience, TestContext.Current.CancellationToken);

        Assert.Equal(1, run.ExitCode);
        Assert.Contains("it is not a file", Assert.Single(run.Lines), StringComparison.Ordinal);
        Assert.Equal(0, (await RunAsync("--remove").WaitAsync(Patience, TestContext.Current.CancellationToken)).ExitCode);
        Assert.True(File.Exists(pipe));
    }

    // They cannot hold anything of ours, and are no reason for an uninstall to fail.
    [Fact]
    public async Task Remove_FilesOfOthersThatCannotBeRead_AreNoFailure()
    {
        await RunAsync("--registry", "ghcr.io");
        System.IO.Directory.CreateDirectory(Path.Combine(_folder.FullName, "latin.test"));
        await File.WriteAllBytesAsync(Path.Combine(_folder.FullName, "latin.test", "hosts.toml"), Encoding.Latin1.GetBytes("# für\n"), TestContext.Current.CancellationToken);
        Write("large.test/hosts.toml", new string('#', 2 << 20));

        var run = await RunAsync("--remove");

        Assert.Equal(0, run.ExitCode);
        Assert.Contains("ghcr.io", Assert.Single(run.Lines), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Remove_LeftoversOfARunThatWasKilled_GoToo()
    {
        await RunAsync("--registry", "ghcr.io");
        Write("ghcr.io/.hosts.toml.abc.partial", "x");
        Write("quay.io/.hosts.toml.abc.partial", "young");
        Write(".gcr.io.abc.partial/hosts.toml", "x");
        Write(".docker.io.abc.partial/theirs", "x");
        foreach (var old in new[] { "ghcr.io/.hosts.toml.abc.partial", ".gcr.io.abc.partial/hosts.toml", ".docker.io.abc.partial/theirs" })
        {
            File.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, old), DateTime.UnixEpoch);
        }

        foreach (var old in new[] { ".gcr.io.abc.partial", ".docker.io.abc.partial" })
        {
            System.IO.Directory.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, old), DateTime.UnixEpoch);
        }

        await RunAsync("--remove");

        Assert.Equal([".docker.io.abc.partial", "quay.io"], _folder.EnumerateDirectories().Select(folder => folder.Name).Order(StringComparer.Ordinal));
    }

    // They are in nobody's way, and no reason for a node to be left with the mirrors of a facade that is gone.
    [Fact]
    public async Task Remove_LeftoversThatCannotBeDeleted_AreToldAndTheRestIsRemoved()
    {
        await RunAsync("--registry", "ghcr.io", "--registry", "quay.io");
        string[] stuck = [".gcr.io.abc.partial/hosts.toml", "ghcr.io/.hosts.toml.abc.partial"];
        foreach (var old in (string[])[.. stuck, "ghcr.io/.hosts.toml.def.partial", ".zcr.io.abc.partial/hosts.toml"])
        {
            Write(old, "x");
            File.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, old), DateTime.UnixEpoch);
        }

        System.IO.Directory.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, ".gcr.io.abc.partial"), DateTime.UnixEpoch);
        System.IO.Directory.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, ".zcr.io.abc.partial"), DateTime.UnixEpoch);
        using var mounts = new CacheFolder();
        Array.ForEach(stuck, name => mounts.Pin(Path.Combine(_folder.FullName, name)));

        var run = await RunAsync("--remove");

        Assert.Equal(0, run.ExitCode);
        Assert.Equal(2, run.Lines.Count(line => line.StartsWith("removed", StringComparison.Ordinal)));
        Assert.Equal(2, run.Error.Split('\n', StringSplitOptions.RemoveEmptyEntries).Length);
        Assert.All(stuck, name => Assert.Contains(Path.Combine(_folder.FullName, name), run.Error, StringComparison.Ordinal));
        Assert.Equal(stuck, _folder.EnumerateFiles("*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_folder.FullName, file.FullName)).Order(StringComparer.Ordinal));
    }

    [Fact]
    [SupportedOSPlatform("linux")]
    public void DeleteLeftovers_FolderCannotBeLookedThrough_IsToldOnceAndIsNotCalledALeftover()
    {
        var loop = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        File.CreateSymbolicLink(loop, loop);
        try
        {
            var lines = new List<string>();
            HostsFile.DeleteLeftovers(loop, lines.Add);

            Assert.StartsWith($"{loop} cannot be looked through", Assert.Single(lines), StringComparison.Ordinal);
        }
        finally
        {
            File.Delete(loop);
        }
    }

    // A pod whose init container is killed again and again runs it again and again.
    [Fact]
    public async Task Configure_LeftoversOfARunThatWasKilled_AreDeleted()
    {
        await RunAsync("--registry", "ghcr.io");
        Write("ghcr.io/.hosts.toml.abc.partial", "x");
        Write(".gcr.io.abc.partial/hosts.toml", "x");
        File.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, "ghcr.io/.hosts.toml.abc.partial"), DateTime.UnixEpoch);
        File.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, ".gcr.io.abc.partial/hosts.toml"), DateTime.UnixEpoch);
        System.IO.Directory.SetLastWriteTimeUtc(Path.Combine(_folder.FullName, ".gcr.io.abc.partial"), DateTime.UnixEpoch);

        await RunAsync("--registry", "ghcr.io");

        Assert.Equal(["ghcr.io", "ghcr.io/hosts.toml"], _folder.EnumerateFileSystemInfos("*", SearchOption.AllDirectories).Select(entry => Path.GetRelativePath(_folder.FullName, entry.FullName)).Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task Remove_SomethingElseInOurFolder_StaysWithIt()
    {
        await RunAsync("--registry", "ghcr.io");
        Write("ghcr.io/ca.crt", "x");

        await RunAsync("--remove");

        Assert.Equal(["ca.crt"], System.IO.Directory.GetFileSystemEntries(Path.Combine(_folder.FullName, "ghcr.io")).Select(Path.GetFileName));
    }

    [Fact]
    public async Task ConfigureAndRemove_InParallel_LeavesFilesWholeOrNone()
    {
        Write("quay.io/hosts.toml", "# theirs\n");
        string[] registries = ["--registry", "quay.io", "--registry", "ghcr.io"];

        var running = Task.WhenAll(Enumerable.Range(0, 40).Select(i => Task.Run(() => i % 2 == 0 ? RunAsync(registries) : RunAsync("--remove"))));
        do
        {
            // As containerd may at any moment: what is ours is there as a whole or not at all, what is theirs always.
            Assert.StartsWith("# theirs\n", ReadMeanwhile("quay.io/hosts.toml"), StringComparison.Ordinal);
            ReadMeanwhile("ghcr.io/hosts.toml");
        }
        while (!running.IsCompleted);
        await running;

        Assert.Equal(0, (await RunAsync(registries)).ExitCode);
        Assert.Contains("30000", Read("ghcr.io/hosts.toml"), StringComparison.Ordinal);
        await RunAsync("--remove");
        Assert.Equal("# theirs\n", Read("quay.io/hosts.toml"));
        Assert.Equal(["quay.io/hosts.toml"], _folder.EnumerateFiles("*", SearchOption.AllDirectories).Select(file => Path.GetRelativePath(_folder.FullName, file.FullName)));
        Assert.Equal(["quay.io"], _folder.EnumerateDirectories().Select(folder => folder.Name));
    }

    // Takes no lock, as containerd takes none. Throws when the file is cut anywhere; null when there is none.
    private string? ReadMeanwhile(string name)
    {
        string text;
        try
        {
            using var reader = new StreamReader(new FileStream(Path.Combine(_folder.FullName, name), FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
            text = reader.ReadToEnd();
        }
        catch (Exception exception) when (exception is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }

        HostsText.Parse(text);
        Assert.Equal(text != "# theirs\n", new HostsText(text).IsConfigured && text.Contains("[host.\"http://127.0.0.1:30000\"]", StringComparison.Ordinal));
        return text;
    }

    private Task<CommandRun> RunAsync(params string[] options) => CommandRun.OfAsync(["configure", "containerd", "--certs-dir", _folder.FullName, .. options]);

    private string Read(string name) => File.ReadAllText(Path.Combine(_folder.FullName, name));

    private void Write(string name, string text)
    {
        var path = Path.Combine(_folder.FullName, name);
        System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
    }
}
