using System.Runtime.Versioning;
using System.Text.Json;
using Peerd.Node.Cli;
using Peerd.Node.Cli.Overlaybd;
using Peerd.Tests.Storage;

namespace Peerd.Tests.Cli.Overlaybd;

/// <summary>The same edits on files: what is beside them, whose they are, and what happens when they cannot be written.</summary>
[SupportedOSPlatform("linux")]
public sealed class OverlaybdConfigurationTests : IDisposable
{
    private const string Ours = OverlaybdAddress.Default;
    private const string Foreign = "{\n  \"a\": 1,\n  \"p2pConfig\": { \"enable\": true, \"address\": \"http://other:1/x\" }\n}\n";
    private const string FirstPart = "{\n  \"a\": 1";

    private readonly CacheFolder _folder = new();

    private string Settings => Path.Combine(_folder.Path, "overlaybd.json");

    private string Backup => Settings + ".peerd-backup";

    private string[] Files => [.. Directory.GetFileSystemEntries(_folder.Path).Select(file => Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Configure_ThenRemove_LeavesNoTrace()
    {
        File.WriteAllText(Settings, Foreign);

        var configured = Configure();
        Assert.Equal(new OverlaybdChange(Settings, true, new P2pSetting(true, "http://other:1/x"), new P2pSetting(true, Ours), Backup), configured);
        Assert.Equal(Foreign.Replace("http://other:1/x", Ours, StringComparison.Ordinal), File.ReadAllText(Settings));
        Assert.Equal(Foreign, File.ReadAllText(Backup));
        Assert.Equal(["overlaybd.json", "overlaybd.json.peerd-backup", "overlaybd.json.peerd-state"], Files);

        var removed = Remove();
        Assert.Equal(new OverlaybdChange(Settings, true, new P2pSetting(true, Ours), new P2pSetting(true, "http://other:1/x"), null), removed);
        Assert.Equal(Foreign, File.ReadAllText(Settings));
        Assert.Equal(["overlaybd.json"], Files);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void ConfigureOrRemove_LeftoversOfARunThatWasKilled_GoToo(bool isRemoved)
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        var before = Files;
        foreach (var (name, isOld) in new[] { (".overlaybd.json.abc.partial", true), (".overlaybd.json.peerd-state.abc.partial", true), (".overlaybd.json.def.partial", false), (".other.json.abc.partial", true) })
        {
            var path = Path.Combine(_folder.Path, name);
            File.WriteAllText(path, "x");
            File.SetLastWriteTimeUtc(path, isOld ? DateTime.UnixEpoch : DateTime.UtcNow);
        }

        _ = isRemoved ? Remove() : Configure();

        Assert.Equal([".other.json.abc.partial", ".overlaybd.json.def.partial", .. isRemoved ? ["overlaybd.json"] : before], Files);
    }

    [Fact]
    public void ConfigureAndRemove_SecondTime_TouchNothing()
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        var configured = Touch();

        Assert.Equal(new OverlaybdChange(Settings, false, new P2pSetting(true, Ours), new P2pSetting(true, Ours), Backup), Configure());
        Assert.Equal(configured, Times());

        Remove();
        var removed = Touch();
        Assert.False(Remove().IsChanged);
        Assert.Equal(removed, Times());
    }

    [Fact]
    public void Configure_SetByHand_TouchesNothing()
    {
        File.WriteAllText(Settings, $"{{\"p2pConfig\": {{\"enable\": true, \"address\": \"{Ours}\"}}}}");
        var before = Touch();

        Assert.False(Configure().IsChanged);

        Assert.Equal(before, Times());
        Assert.True(Remove().IsChanged);
        Assert.Equal("{}", File.ReadAllText(Settings));
    }

    [Fact]
    public void Remove_NeverConfigured_LeavesTheAddressOfOthers()
    {
        File.WriteAllText(Settings, Foreign);

        Assert.Equal(new OverlaybdChange(Settings, false, new P2pSetting(true, "http://other:1/x"), new P2pSetting(true, "http://other:1/x"), null), Remove());
        Assert.Equal(Foreign, File.ReadAllText(Settings));
    }

    [Fact]
    public void Remove_OurAddressTurnedOff_LeavesIt()
    {
        var text = $"{{\"p2pConfig\": {{\"enable\": false, \"address\": \"{Ours}\"}}}}";
        File.WriteAllText(Settings, text);

        Configure();
        Assert.True(Remove().IsChanged);
        Assert.False(Remove().IsChanged);

        Assert.Equal(text, File.ReadAllText(Settings));
    }

    [Fact]
    public void Remove_OthersSetTheirAddressMeanwhile_LeavesIt()
    {
        const string Theirs = "{ \"p2pConfig\": { \"enable\": true, \"address\": \"http://localhost:9/blobs\" } }";
        File.WriteAllText(Settings, Foreign);
        Configure();
        File.WriteAllText(Settings, Theirs);

        Assert.False(Remove().IsChanged);

        Assert.Equal(Theirs, File.ReadAllText(Settings));

        // The only copy of what was there.
        Assert.Equal(["overlaybd.json", "overlaybd.json.peerd-backup"], Files);
    }

    [Fact]
    public void Remove_OthersChangedOtherKeysMeanwhile_KeepsThem()
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        File.WriteAllText(Settings, File.ReadAllText(Settings).Replace(FirstPart, FirstPart + ",\n  \"new\": [2]", StringComparison.Ordinal));

        var removed = Remove();

        Assert.Equal(Foreign.Replace(FirstPart, FirstPart + ",\n  \"new\": [2]", StringComparison.Ordinal), File.ReadAllText(Settings));
        Assert.Equal(Backup, removed.Backup);
        Assert.Equal(Foreign, File.ReadAllText(Backup));
    }

    [Fact]
    public void Remove_FileWrittenAnewByOthers_BringsTheValuesBack()
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        using (var document = JsonDocument.Parse(File.ReadAllBytes(Settings)))
        {
            File.WriteAllText(Settings, JsonSerializer.Serialize(document.RootElement));
        }

        Assert.Equal(new P2pSetting(true, "http://other:1/x"), Remove().After);
    }

    [Fact]
    public void Configure_OthersSetAnotherAddressSince_RemoveBringsThatOneBack()
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        File.WriteAllText(Settings, Foreign.Replace("http://other:1/x", "http://third:1/y", StringComparison.Ordinal));
        Configure();

        Assert.Equal(Foreign, File.ReadAllText(Backup));
        Assert.Equal(new P2pSetting(true, "http://third:1/y"), Remove().After);
        Assert.Equal(Foreign.Replace("http://other:1/x", "http://third:1/y", StringComparison.Ordinal), File.ReadAllText(Settings));
        Assert.Equal(Foreign, File.ReadAllText(Backup));
    }

    [Fact]
    public void Configure_AnotherAddressOfOurs_RemoveStillBringsBackWhatWasBefore()
    {
        const string Moved = "http://127.0.0.1:31000/blobs";
        File.WriteAllText(Settings, Foreign);
        Configure(Moved);
        var text = File.ReadAllText(Settings);
        File.WriteAllText(Settings, text.Replace("\"enable\"", "\"theirs\": 1, \"enable\"", StringComparison.Ordinal));

        Assert.Equal(new P2pSetting(true, Moved), Configure().Before);
        Assert.Equal(new P2pSetting(true, Ours), Remove(Moved).Before);

        Assert.Equal(Foreign.Replace("\"enable\"", "\"theirs\": 1, \"enable\"", StringComparison.Ordinal), File.ReadAllText(Settings));
    }

    [Fact]
    public void Configure_BackupOfAnotherTime_IsNotOverwritten()
    {
        File.WriteAllText(Settings, Foreign);
        File.WriteAllText(Backup, "old");

        Configure();
        Remove();

        Assert.Equal("old", File.ReadAllText(Backup));
        Assert.Equal(Foreign, File.ReadAllText(Settings));
    }

    [Theory]
    [InlineData("{")]
    [InlineData("{}")]
    [InlineData("{\"written\": 1}")]
    [InlineData("{\"written\": \"{}\"}")]
    [InlineData("{\"written\": \"[]\"}")]
    [InlineData("{\"written\": \"{\\\"address\\\": \\\"x\\\"}\", \"former\": \"1\"}")]
    public void Remove_StateIsBroken_ChangesNothing(string state)
    {
        File.WriteAllText(Settings, Foreign);
        Configure();
        File.WriteAllText(Settings + ".peerd-state", state);
        var before = Touch();

        var exception = Assert.Throws<OverlaybdException>(() => Remove());

        Assert.StartsWith(Settings + ".peerd-state ", exception.Message, StringComparison.Ordinal);
        Assert.Contains("delete it", exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, Times());
    }

    [Fact]
    public void Configure_ModeAndOwner_AreKept()
    {
        Assert.SkipUnless(Environment.IsPrivilegedProcess, "only root may give files away");
        File.WriteAllText(Settings, Foreign);
        using (var handle = File.OpenHandle(Settings, access: FileAccess.ReadWrite))
        {
            UnixFile.SetOwner(handle, 1234, 4321);
        }

        File.SetUnixFileMode(Settings, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead);
        var expected = UnixFile.Status(Settings);
        Assert.Equal((1234u, 4321u, true), (expected.User, expected.Group, expected.IsRegular));

        Configure();
        Assert.All(Directory.GetFiles(_folder.Path), file => Assert.Equal(expected, UnixFile.Status(file)));
        Remove();
        Assert.Equal(expected, UnixFile.Status(Settings));
    }

    [Fact]
    public void Configure_Links_EditsWhatTheyLeadTo()
    {
        // The second link starts from the folder that the first leads to.
        var target = Path.Combine(_folder.Path, "real", "settings.json");
        Directory.CreateDirectory(Path.Combine(_folder.Path, "real", "folder"));
        File.WriteAllText(target, Foreign);
        Directory.CreateSymbolicLink(Path.Combine(_folder.Path, "link"), "real/folder");
        File.CreateSymbolicLink(Path.Combine(_folder.Path, "real", "folder", "overlaybd.json"), "../settings.json");
        var path = Path.Combine(_folder.Path, "link", "overlaybd.json");

        var change = new OverlaybdConfiguration(new OverlaybdFile(path), Assert.Fail).Configure(Ours);

        Assert.Equal((target, target + ".peerd-backup"), (change.File, change.Backup));
        Assert.Equal("../settings.json", new FileInfo(path).LinkTarget);
        Assert.Contains(Ours, File.ReadAllText(target), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    [InlineData(2)]
    public void Configure_DiskFull_ChangesNothing(int freePages)
    {
        _folder.MountTmpfs("64k");
        File.WriteAllText(Settings, Foreign);
        var before = Touch();
        Fill(freePages);

        var exception = Assert.Throws<OverlaybdException>(() => Configure());

        Assert.Contains("cannot be written, nothing was changed: No space left", exception.Message, StringComparison.Ordinal);
        Assert.Equal(before, Times());
        Assert.Equal(Foreign, File.ReadAllText(Settings));
        Assert.Equal(["ballast", "overlaybd.json"], Files);
    }

    [Fact]
    public void Remove_DiskFull_ChangesNothing()
    {
        _folder.MountTmpfs("64k");
        File.WriteAllText(Settings, Foreign);
        Configure();
        var before = Touch();
        Fill(freePages: 0);

        Assert.Throws<OverlaybdException>(() => Remove());

        File.Delete(Path.Combine(_folder.Path, "ballast"));
        Assert.Equal(before, Times());
        Assert.True(Remove().IsChanged);
        Assert.Equal(Foreign, File.ReadAllText(Settings));
    }

    [Fact]
    public void ConfigureAndRemove_ReadOnlyFolder_ChangeNothing()
    {
        _folder.MountTmpfs("64k");
        File.WriteAllText(Settings, Foreign);
        _folder.Remount("ro");

        Assert.Contains("Read-only file system", Assert.Throws<OverlaybdException>(() => Configure()).Message, StringComparison.Ordinal);

        _folder.Remount("rw");
        Configure();
        _folder.Remount("ro");
        Assert.False(Configure().IsChanged);
        Assert.Contains("Read-only file system", Assert.Throws<OverlaybdException>(() => Remove()).Message, StringComparison.Ordinal);

        _folder.Remount("rw");
        Assert.Equal(Foreign, File.ReadAllText(Backup));
    }

    [Fact]
    public void TryReplace_ChangedSinceItWasRead_DoesNothing()
    {
        File.WriteAllText(Settings, Foreign);
        var file = new OverlaybdFile(Settings);
        var read = file.Read();
        File.WriteAllText(Settings, "{}");

        Assert.False(file.TryReplace(read, "{\"ours\": 1}"u8.ToArray()));

        Assert.Equal("{}", File.ReadAllText(Settings));
        Assert.Equal(["overlaybd.json"], Files);
    }

    [Fact]
    public void Configure_WouldGrowOverTheLimit_ChangesNothing()
    {
        var text = $"{{\"a\": \"{new string('x', (int)OverlaybdFile.Limit.Bytes - 20)}\"}}";
        File.WriteAllText(Settings, text);

        Assert.Contains("would be larger than 1MiB", Assert.Throws<OverlaybdException>(() => Configure()).Message, StringComparison.Ordinal);

        Assert.Equal(text, File.ReadAllText(Settings));
        Assert.Equal(["overlaybd.json"], Files);
    }

    private OverlaybdChange Configure(string address = Ours) => new OverlaybdConfiguration(new OverlaybdFile(Settings), Assert.Fail).Configure(address);

    private OverlaybdChange Remove(string address = Ours) => new OverlaybdConfiguration(new OverlaybdFile(Settings), Assert.Fail).Remove(address);

    /// <summary>Makes all files look old, so that a write is seen.</summary>
    private (string, DateTime)[] Touch()
    {
        foreach (var file in Directory.GetFiles(_folder.Path))
        {
            File.SetLastWriteTimeUtc(file, DateTime.UnixEpoch);
        }

        return Times();
    }

    private (string, DateTime)[] Times() =>
        [.. Directory.GetFiles(_folder.Path).Where(file => !file.EndsWith("ballast", StringComparison.Ordinal)).Order(StringComparer.Ordinal).Select(file => (file, File.GetLastWriteTimeUtc(file)))];

    private void Fill(int freePages)
    {
        using var ballast = new FileStream(Path.Combine(_folder.Path, "ballast"), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true)
            {
                ballast.Write(new byte[4096]);
            }
        }
        catch (IOException)
        {
            ballast.SetLength((ballast.Length / 4096 * 4096) - (freePages * 4096));
        }
    }
}
