using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Storage.Containerd;

/// <summary>Settings of containerd's content store as a source, section <c>Peerd:Containerd</c>.</summary>
internal sealed class ContainerdOptions
{
    public const string Section = "Peerd:Containerd";

    /// <summary>Use the store as soon as the socket is there. Default true.</summary>
    public bool Enabled { get; set; } = true;

    /// <summary>Where containerd listens. Default <c>/run/containerd/containerd.sock</c>.</summary>
    public string Socket { get; set; } = "/run/containerd/containerd.sock";

    /// <summary>The only namespace whose contents are served. Default <c>k8s.io</c>.</summary>
    public string Namespace { get; set; } = "k8s.io";

    /// <summary>How often the store is listed although no event came, 1s to 1h. Default <c>5m</c>.</summary>
    public string Resync { get; set; } = "5m";

    internal TimeSpan ResyncValue => Duration.Parse(Resync);
}

/// <summary>Says what is wrong with <see cref="ContainerdOptions"/>, all at once.</summary>
internal sealed class ContainerdOptionsValidator : IValidateOptions<ContainerdOptions>
{
    public ValidateOptionsResult Validate(string? name, ContainerdOptions options)
    {
        var faults = new SettingFaults(ContainerdOptions.Section);
        if (!Path.IsPathFullyQualified(options.Socket))
        {
            faults.Add(nameof(options.Socket), options.Socket, "an absolute path");
        }

        // It becomes part of a filter and of a header.
        if (options.Namespace.Length is 0 or > 76 || !options.Namespace.All(c => char.IsAsciiLetterOrDigit(c) || c is '.' or '-' or '_'))
        {
            faults.Add(nameof(options.Namespace), options.Namespace, "a name of 1 to 76 letters, digits, dots, hyphens and underscores");
        }

        faults.ReadDuration(nameof(options.Resync), options.Resync, TimeSpan.FromSeconds(1), TimeSpan.FromHours(1));
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
