using Microsoft.Extensions.Configuration.Json;

namespace Peerd.Node.Hosting;

/// <summary>A JSON file of settings. When an edit breaks it, what was read before stays.</summary>
internal sealed class SettingsFile : JsonConfigurationSource
{
    public override IConfigurationProvider Build(IConfigurationBuilder builder)
    {
        EnsureDefaults(builder);
        return new Provider(this);
    }

    private sealed class Provider(JsonConfigurationSource source) : JsonConfigurationProvider(source)
    {
        private bool _isLoaded;

        public override void Load(Stream stream)
        {
            try
            {
                base.Load(stream);
                _isLoaded = true;
            }
            catch (FormatException) when (_isLoaded)
            {
                // Thrown on, it would empty the settings before anybody is asked.
            }
        }
    }
}
