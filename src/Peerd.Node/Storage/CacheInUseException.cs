namespace Peerd.Node.Storage;

/// <summary>The cache directory belongs to another running process.</summary>
internal sealed class CacheInUseException(string directory)
    : IOException($"cache directory '{directory}' is in use by another process; stop it or set {CacheOptions.Section}:Directory to another directory");
