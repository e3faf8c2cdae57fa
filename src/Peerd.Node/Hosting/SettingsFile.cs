using Microsoft.Extensions.Configuration.Json;
using Microsoft.Extensions.FileProviders;
using Microsoft.Extensions.Primitives;

namespace Peerd.Node.Hosting;

/// <summary>
/// A JSON file of settings that is read again whenever it changes. While it is missing, unreadable or broken, what was
/// read before stays: an edit must not take the members away from a running node.
/// </summary>
internal sealed class SettingsFile : JsonConfigurationSource
{
    /// <summary>Told when the file could not be read again.</summary>
    public Action<Exception>? Unread { get; set; }

    /// <summary>For people.</summary>
    public string FullPath => (FileProvider as PhysicalFileProvider)?.Root + Path;

    public override IConfigurationProvider Build(IConfigurationBuilder builder)
    {
        EnsureDefaults(builder);

        // Not to be reloaded by the base class, which empties the settings and then looks what became of the file.
        return new Provider(this, new JsonConfigurationSource { FileProvider = FileProvider, Path = Path ?? string.Empty, Optional = Optional });
    }

    private sealed class Provider : JsonConfigurationProvider
    {
        private readonly SettingsFile _file;
        private readonly IDisposable _changes;
        private bool _isRead;

        public Provider(SettingsFile file, JsonConfigurationSource source)
            : base(source)
        {
            _file = file;
            _changes = ChangeToken.OnChange(
                () => file.FileProvider?.Watch(file.Path ?? string.Empty),
                () =>
                {
                    // Whoever writes the file may not be done yet.
                    Thread.Sleep(file.ReloadDelay);
                    Load();
                });
        }

        public override void Load()
        {
            if (_isRead)
            {
                LoadAgain();
                return;
            }

            try
            {
                base.Load();
            }
            catch (Exception e) when (e is UnauthorizedAccessException or (IOException and not FileNotFoundException))
            {
                throw new InvalidDataException($"{_file.FullPath} cannot be read.", e);
            }

            // From now on a missing file is a failure, too.
            Source.Optional = false;
            _isRead = true;
        }

        protected override void Dispose(bool disposing)
        {
            _changes.Dispose();
            base.Dispose(disposing);
        }

        private void LoadAgain()
        {
            try
            {
                base.Load();
            }
            catch (Exception e) when (e is IOException or InvalidDataException or UnauthorizedAccessException or FormatException)
            {
                _file.Unread?.Invoke(e);
                OnReload();
            }
        }
    }
}
