using Microsoft.Extensions.Options;

namespace Peerd.Node.Limits;

/// <summary>The bandwidths of <see cref="LimitOptions"/>; null where there is no limit, so that its absence costs nothing. Thread-safe.</summary>
internal sealed class Bandwidth(IOptions<LimitOptions> options, TimeProvider time) : IDisposable
{
    /// <summary>To other nodes.</summary>
    public ByteRate? Upload { get; } = ByteRate.Of(options.Value.UploadValue, time);

    /// <summary>From other nodes.</summary>
    public ByteRate? Download { get; } = ByteRate.Of(options.Value.DownloadValue, time);

    /// <summary>From registries and stores.</summary>
    public ByteRate? Origin { get; } = ByteRate.Of(options.Value.OriginValue, time);

    public void Dispose()
    {
        Upload?.Dispose();
        Download?.Dispose();
        Origin?.Dispose();
    }
}
