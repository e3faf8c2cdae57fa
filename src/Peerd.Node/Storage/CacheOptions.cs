using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Storage;

/// <summary>Settings of the piece cache, section <c>Peerd:Cache</c>.</summary>
internal sealed class CacheOptions
{
    public const string Section = "Peerd:Cache";

    /// <summary>Where pieces are kept; made when it is missing. Default <c>/var/lib/peerd</c>.</summary>
    public string Directory { get; set; } = "/var/lib/peerd";

    /// <summary>How much the pieces may take on disk, at least 1MiB. Default <c>20GiB</c>.</summary>
    public string Capacity { get; set; } = "20GiB";

    /// <summary>How much memory may hold frames that the disk cannot take, 4MiB to 16GiB. Default <c>64MiB</c>.</summary>
    public string Memory { get; set; } = "64MiB";

    /// <summary><see cref="Capacity"/> in bytes; 0 when it is no size.</summary>
    public long CapacityBytes => ByteSize.TryParse(Capacity, out var size) ? size.Bytes : 0;

    /// <summary><see cref="Memory"/> in bytes; 0 when it is no size.</summary>
    public long MemoryBytes => ByteSize.TryParse(Memory, out var size) ? size.Bytes : 0;
}

/// <summary>Says what is wrong with <see cref="CacheOptions"/>, all at once.</summary>
internal sealed class CacheOptionsValidator : IValidateOptions<CacheOptions>
{
    private static readonly ByteSize MinimumCapacity = new(1L << 20);
    private static readonly ByteSize MinimumMemory = new(4L << 20);
    private static readonly ByteSize MaximumMemory = new(16L << 30);

    public ValidateOptionsResult Validate(string? name, CacheOptions options)
    {
        var faults = new SettingFaults(CacheOptions.Section);
        if (!Path.IsPathFullyQualified(options.Directory))
        {
            faults.Add(nameof(options.Directory), options.Directory, "an absolute path");
        }

        faults.ReadSize(nameof(options.Capacity), options.Capacity, MinimumCapacity);
        faults.ReadSize(nameof(options.Memory), options.Memory, MinimumMemory, MaximumMemory);
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
