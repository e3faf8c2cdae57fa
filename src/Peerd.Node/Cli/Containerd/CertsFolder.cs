using System.Runtime.Versioning;

namespace Peerd.Node.Cli.Containerd;

/// <summary>A registry that containerd is to read through the facade.</summary>
/// <param name="Name">What images call it: host and optional port; <c>_default</c> for all others.</param>
/// <param name="Server">Where it is; null for <c>_default</c>.</param>
internal sealed record ConfiguredRegistry(string Name, string? Server)
{
    /// <summary>The folder of all registries that have none of their own.</summary>
    public const string Default = "_default";
}

/// <summary>What was done for one registry.</summary>
/// <param name="Registry">Name of the registry, or of its folder.</param>
/// <param name="File">Its hosts.toml.</param>
/// <param name="Result"><c>written</c>, <c>unchanged</c>, <c>removed</c>, <c>left</c> or <c>failed</c>.</param>
/// <param name="Reason">Why it was left or failed, or what is to be known; null when there is nothing to say.</param>
internal sealed record HostsChange(string Registry, string File, string Result, string? Reason = null);

/// <summary>
/// containerd's folder of hosts (<c>certs.d</c>): one folder for a registry, the first that exists of <c>host_port_</c>,
/// <c>host:port</c> and <c>_default</c> is the only one that counts.
/// </summary>
/// <param name="root">The folder.</param>
[SupportedOSPlatform("linux")]
internal sealed class CertsFolder(string root)
{
    /// <summary>Leads a registry to the mirror first.</summary>
    /// <param name="registry">The registry.</param>
    /// <param name="mirror">The facade.</param>
    /// <param name="mayTouchDefault">Also where <c>_default</c> is somebody else's.</param>
    public HostsChange Configure(ConfiguredRegistry registry, MirrorHost mirror, bool mayTouchDefault)
    {
        var folder = FolderOf(registry.Name);
        var path = Path.Combine(folder, HostsFile.Name);
        return Try(registry.Name, path, () =>
        {
            var isNewFolder = !System.IO.Directory.Exists(folder);
            var text = HostsFile.Read(path);
            if (text is not null && new HostsText(text) is { WasNew: false } existing)
            {
                if (registry.Name == ConfiguredRegistry.Default && !existing.IsConfigured && !mayTouchDefault)
                {
                    return new HostsChange(registry.Name, path, "left", "it is somebody else's; with --force the facade is put before its hosts");
                }

                return Write(registry.Name, path, text, existing.With(mirror), null);
            }

            // Whether it was there before us is in what we wrote then.
            var wasNewFolder = isNewFolder || (text is not null && new HostsText(text).WasNewFolder);
            var (others, reason) = registry.Name == ConfiguredRegistry.Default ? (string.Empty, null) : HiddenHosts();
            var server = $"{(registry.Server is null ? string.Empty : $"server = \"{registry.Server}\"\n")}{Certificates(folder)}";
            var block = HostsText.New(mirror, server, others, wasNewFolder);
            var whole = text is null || new HostsText(text) is { IsAllOurs: true } ? block : new HostsText(text).Replacing(block);
            HostsText.Parse(whole);
            return isNewFolder ? WriteInNewFolder(registry.Name, path, whole, reason) : Write(registry.Name, path, text, whole, reason);
        })!;
    }

    /// <summary>Takes out all that is ours, for whatever registries.</summary>
    public IReadOnlyList<HostsChange> Remove() =>
        !System.IO.Directory.Exists(root) ? []
        : [.. System.IO.Directory.EnumerateDirectories(root).Order(StringComparer.Ordinal).Select(folder => Remove(Path.GetFileName(folder), Path.Combine(folder, HostsFile.Name))).OfType<HostsChange>()];

    /// <summary>The folder that counts for a registry, or would if it were made.</summary>
    public string FolderOf(string registry)
    {
        var colon = registry.LastIndexOf(':');
        var portable = colon < 0 ? registry : $"{registry[..colon]}_{registry[(colon + 1)..]}_";
        var first = Path.Combine(root, portable);
        return System.IO.Directory.Exists(first) ? first : Path.Combine(root, registry);
    }

    private static HostsChange? Remove(string registry, string path) => Try(registry, path, () =>
    {
        if (HostsFile.Read(path) is not { } text || new HostsText(text) is not { IsConfigured: true } ours)
        {
            return null;
        }

        var without = ours.Without();
        if (without.Length > 0 || !ours.WasNew)
        {
            HostsFile.Write(path, text, without);
            return new HostsChange(registry, path, "removed");
        }

        File.Delete(path);
        var folder = Path.GetDirectoryName(path)!;
        if (ours.WasNewFolder && !System.IO.Directory.EnumerateFileSystemEntries(folder).Any())
        {
            System.IO.Directory.Delete(folder);
        }

        return new HostsChange(registry, path, "removed");
    });

    private static HostsChange Write(string registry, string path, string? before, string after, string? reason)
    {
        if (before == after)
        {
            return new HostsChange(registry, path, "unchanged", reason);
        }

        HostsFile.Write(path, before, after);
        return new HostsChange(registry, path, "written", reason);
    }

    // An empty folder would hide _default, and say nothing.
    private static HostsChange WriteInNewFolder(string registry, string path, string text, string? reason)
    {
        var folder = Path.GetDirectoryName(path)!;
        System.IO.Directory.CreateDirectory(folder);
        try
        {
            return Write(registry, path, before: null, text, reason);
        }
        catch (HostsException)
        {
            System.IO.Directory.Delete(folder);
            throw;
        }
    }

    // A folder of its own hides _default: what is there goes on to count, behind us.
    private (string Hosts, string? Reason) HiddenHosts()
    {
        var path = Path.Combine(root, ConfiguredRegistry.Default, HostsFile.Name);
        if (HostsFile.Read(path) is not { } text)
        {
            return (string.Empty, null);
        }

        try
        {
            var hosts = new HostsText(text).Hosts();
            return hosts.Length == 0 ? (hosts, null)
                : HasRelativePaths(hosts) ? (string.Empty, $"the hosts of {path} no longer count for this registry: their certificates are given by relative paths")
                : (hosts, $"the hosts of {path} are carried over behind the facade");
        }
        catch (FormatException exception)
        {
            return (string.Empty, $"{path} {exception.Message}");
        }
    }

    private static bool HasRelativePaths(string hosts) =>
        HostsText.HostsOf(HostsText.Parse(hosts))?.Values.OfType<Tomlyn.Model.TomlTable>().Any(host => host.ContainsKey("ca") || host.ContainsKey("client")) ?? false;

    // containerd looks at certificates in the folder only as long as there is no hosts.toml in it.
    private static string Certificates(string folder)
    {
        if (!System.IO.Directory.Exists(folder))
        {
            return string.Empty;
        }

        var files = System.IO.Directory.EnumerateFiles(folder).Order(StringComparer.Ordinal).ToList();
        var authorities = files.Where(file => file.EndsWith(".crt", StringComparison.Ordinal)).Select(Quoted).ToList();
        var clients = files.Where(file => file.EndsWith(".cert", StringComparison.Ordinal) && files.Contains(Path.ChangeExtension(file, ".key")))
            .Select(file => $"[{Quoted(file)}, {Quoted(Path.ChangeExtension(file, ".key"))}]").ToList();
        return (authorities.Count > 0 ? $"ca = [{string.Join(", ", authorities)}]\n" : string.Empty)
            + (clients.Count > 0 ? $"client = [{string.Join(", ", clients)}]\n" : string.Empty);

        static string Quoted(string path) => $"\"{path.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";
    }

    private static HostsChange? Try(string registry, string path, Func<HostsChange?> change)
    {
        try
        {
            return change();
        }
        catch (FormatException exception)
        {
            return new HostsChange(registry, path, "failed", $"{path} {exception.Message}; it is as it was");
        }
        catch (Exception exception) when (exception is HostsException or IOException or UnauthorizedAccessException)
        {
            return new HostsChange(registry, path, "failed", exception.Message.ReplaceLineEndings(" "));
        }
    }
}
