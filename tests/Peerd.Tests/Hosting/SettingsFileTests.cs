using System.Text;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Primitives;
using Peerd.Node.Hosting;

namespace Peerd.Tests.Hosting;

public sealed class SettingsFileTests : IDisposable
{
    private const string Text = """{ "Key": "first" }""";

    private readonly OneFile _files = new() { Text = Text };
    private readonly ConfigurationManager _configuration = new();
    private readonly List<Exception> _unread = [];

    public void Dispose() => _configuration.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Change_FileIsMissing_KeepsWhatWasRead(bool isOptional)
    {
        Add(isOptional);

        _files.Change(text: null);

        Assert.Equal("first", _configuration["Key"]);
        Assert.Single(_unread);
        _files.Change("""{ "Key": "second" }""");
        Assert.Equal("second", _configuration["Key"]);
        Assert.Single(_unread);
    }

    [Fact]
    public void Change_FileIsUnreadable_KeepsWhatWasRead()
    {
        Add();

        _files.Failure = new UnauthorizedAccessException("denied");
        _files.Change(Text);

        Assert.Equal("first", _configuration["Key"]);
        Assert.IsType<UnauthorizedAccessException>(Assert.Single(_unread));
    }

    [Fact]
    public void Change_FileIsBroken_KeepsWhatWasRead()
    {
        Add();

        _files.Change("{ broken");

        Assert.Equal("first", _configuration["Key"]);
        Assert.Single(_unread);
    }

    [Fact]
    public void Change_KeyIsGone_IsTakenOver()
    {
        Add();

        _files.Change("{}");

        Assert.Null(_configuration["Key"]);
        Assert.Empty(_unread);
    }

    [Fact]
    public void Load_OptionalFileAppearsLater_IsRead()
    {
        _files.Text = null;
        Add(isOptional: true);
        Assert.Null(_configuration["Key"]);

        _files.Change(Text);

        Assert.Equal("first", _configuration["Key"]);
    }

    [Fact]
    public void Load_UnreadableFile_IsRefused()
    {
        _files.Failure = new UnauthorizedAccessException("denied");

        var thrown = Assert.Throws<InvalidDataException>(() => Add());

        Assert.Equal("denied", thrown.InnerException?.Message);
    }

    [Fact]
    public async Task Change_RealFileIsDeletedAndComesBack_IsFollowed()
    {
        var folder = Directory.CreateTempSubdirectory("peerd-settings-");
        try
        {
            var path = Path.Combine(folder.FullName, "node.json");
            await File.WriteAllTextAsync(path, Text);
            var told = new TaskCompletionSource<Exception>(TaskCreationOptions.RunContinuationsAsynchronously);
            var source = new SettingsFile { Path = path, Unread = e => told.TrySetResult(e) };
            source.ResolveFileProvider();
            using var configuration = new ConfigurationManager();
            configuration.Sources.Add(source);
            Assert.Equal(path, source.FullPath);

            File.Delete(path);
            await told.Task.WaitAsync(Wait.Longest);

            Assert.Equal("first", configuration["Key"]);
            await File.WriteAllTextAsync(path, """{ "Key": "second" }""");
            await Wait.UntilAsync(() => configuration["Key"] == "second", "the new file is read");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    private void Add(bool isOptional = false) =>
        _configuration.Sources.Add(new SettingsFile { FileProvider = _files, Path = "node.json", Optional = isOptional, ReloadDelay = 0, Unread = _unread.Add });

    /// <summary>A file in memory, and whoever watches it.</summary>
    private sealed class OneFile : IFileProvider
    {
        private ConfigurationReloadToken _change = new();

        public string? Text { get; set; }

        public Exception? Failure { get; set; }

        public void Change(string? text)
        {
            Text = text;
            Interlocked.Exchange(ref _change, new ConfigurationReloadToken()).OnReload();
        }

        public IFileInfo GetFileInfo(string subpath) => Text is null ? new NotFoundFileInfo(subpath) : new Content(subpath, this);

        public IDirectoryContents GetDirectoryContents(string subpath) => NotFoundDirectoryContents.Singleton;

        public IChangeToken Watch(string filter) => _change;

        private sealed class Content(string name, OneFile file) : IFileInfo
        {
            public bool Exists => true;

            public bool IsDirectory => false;

            public DateTimeOffset LastModified => default;

            public long Length => -1;

            public string Name => name;

            public string? PhysicalPath => null;

            public Stream CreateReadStream() => file.Failure is { } failure ? throw failure : new MemoryStream(Encoding.UTF8.GetBytes(file.Text!));
        }
    }
}
