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
/// <param name="warn">Takes a line for people on what is not as it should be, but keeps nothing from being done.</param>
[SupportedOSPlatform("linux")]
internal sealed class CertsFolder(string root, Action<string> warn)
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
            foreach (var existingFolder in new[] { root, folder }.Where(System.IO.Directory.Exists))
            {
                HostsFile.DeleteLeftovers(existingFolder, warn);
            }

            var isNewFolder = HostsFile.IsNewFolder(folder);
            var text = HostsFile.Read(path);
            var existing = new HostsText(text ?? string.Empty);
            if (registry.Name == ConfiguredRegistry.Default && text is not null && !existing.IsConfigured && !mayTouchDefault)
            {
                return new HostsChange(registry.Name, path, "left", "it is somebody else's; with --force the facade is put before its hosts");
            }

            if (!existing.IsConfigured && existing.Has(mirror))
            {
                return new HostsChange(registry.Name, path, "left", $"it has a host {mirror.Url} of its own, which is not touched");
            }

            if (text is not null && !existing.WasNew && !existing.IsAllOurs)
            {
                return Write(registry.Name, path, text, existing.With(mirror), existing.Doubt);
            }

            // Whether they were there before us is in what we wrote then.
            var (isNew, wasNewFolder) = (text is null || existing.WasNew, isNewFolder || existing.WasNewFolder);
            var (block, reason) = Whole(registry, mirror, folder, isNew, wasNewFolder);
            var whole = existing.IsAllOurs ? block : existing.Replacing(block);
            HostsText.Parse(whole);
            if (!isNewFolder)
            {
                return Write(registry.Name, path, text, whole, reason);
            }

            HostsFile.WriteWithFolder(path, whole);
            return new HostsChange(registry.Name, path, "written", reason);
        })!;
    }

    /// <summary>Takes out what is ours.</summary>
    /// <param name="isWanted">For which registries, by the name of their folder.</param>
    /// <exception cref="HostsException">The folder cannot be looked through.</exception>
    public IReadOnlyList<HostsChange> Remove(Func<string, bool> isWanted)
    {
        try
        {
            if (!System.IO.Directory.Exists(root))
            {
                return [];
            }

            HostsFile.DeleteLeftovers(root, warn);
            return [.. System.IO.Directory.EnumerateDirectories(root).Order(StringComparer.Ordinal)
                .Where(folder => !HostsFile.IsPartial(folder) && isWanted(Path.GetFileName(folder)))
                .Select(folder => Remove(Path.GetFileName(folder), Path.Combine(folder, HostsFile.Name))).OfType<HostsChange>()];
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new HostsException($"{root} cannot be looked through: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    /// <summary>The registry whose folder has this name.</summary>
    public static string RegistryOf(string folder) =>
        folder is [_, .., '_'] && folder.LastIndexOf('_', folder.Length - 2) is > 0 and var colon ? $"{folder[..colon]}:{folder[(colon + 1)..^1]}" : folder;

    /// <summary>The names that the folder of a registry may have, the one that comes first for containerd first.</summary>
    public static IReadOnlyList<string> NamesOf(string registry) =>
        registry.LastIndexOf(':') is > 0 and var colon ? [$"{registry[..colon]}_{registry[(colon + 1)..]}_", registry] : [registry];

    /// <summary>The folder that counts for a registry, or would if it were made.</summary>
    public string FolderOf(string registry)
    {
        var folders = NamesOf(registry).Select(name => Path.Combine(root, name)).ToList();
        return folders.Find(System.IO.Directory.Exists) ?? folders[^1];
    }

    private HostsChange? Remove(string registry, string path) => Try(registry, path, () =>
    {
        HostsFile.DeleteLeftovers(Path.GetDirectoryName(path)!, warn);
        if (!HostsFile.MayBeOurs(path) || HostsFile.Read(path) is not { } text || new HostsText(text) is not { IsConfigured: true } ours)
        {
            return null;
        }

        if (!ours.IsAllOurs || !ours.WasNew)
        {
            HostsFile.Write(path, text, ours.Without());
        }
        else
        {
            HostsFile.Delete(path, text, ours.WasNewFolder);
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

    // All that a folder needs where nothing but us is in its file. What counted for the registry until now goes on to count:
    // certificates beside the file, or _default, which a folder of its own hides.
    private (string Block, string? Reason) Whole(ConfiguredRegistry registry, MirrorHost mirror, string folder, bool isNew, bool isNewFolder)
    {
        var server = registry.Server is null ? string.Empty : $"server = {HostsText.Quoted(registry.Server)}\n";

        // With them containerd would try TLS first.
        var isClear = registry.Server?.StartsWith("http://", StringComparison.Ordinal) ?? false;
        var own = server + (isClear ? string.Empty : Certificates(folder, string.Empty));
        if (!isNewFolder || registry.Name == ConfiguredRegistry.Default)
        {
            return (HostsText.Whole(mirror, own, string.Empty, isNew, isNewFolder), null);
        }

        var byDefault = Path.Combine(root, ConfiguredRegistry.Default);
        var path = Path.Combine(byDefault, HostsFile.Name);
        try
        {
            var text = new HostsText(HostsFile.Read(path) ?? string.Empty);
            var (keys, tables) = text.IsAllOurs ? (isClear ? string.Empty : Certificates(byDefault, $"../{ConfiguredRegistry.Default}/"), string.Empty) : text.ForAnotherFolder(ConfiguredRegistry.Default);
            if (keys.Length + tables.Length == 0)
            {
                return (HostsText.Whole(mirror, own, string.Empty, isNew, isNewFolder), null);
            }

            if (text.Has(mirror))
            {
                throw new FormatException("has the facade among its hosts");
            }

            var block = HostsText.Whole(mirror, (HostsText.Parse(keys).ContainsKey("server") ? string.Empty : server) + keys, tables, isNew, isNewFolder);
            HostsText.Parse(block);
            return (block, $"what {(text.IsAllOurs ? byDefault : path)} says is carried over behind the facade");
        }
        catch (FormatException exception)
        {
            return (HostsText.Whole(mirror, own, string.Empty, isNew, isNewFolder), $"{path} no longer counts for this registry: it {exception.Message}");
        }
    }

    // containerd looks at certificates in a folder only as long as its hosts.toml says nothing. Their paths are relative, for
    // the folder may be elsewhere for containerd than it is here.
    private static string Certificates(string folder, string prefix)
    {
        if (!System.IO.Directory.Exists(folder))
        {
            return string.Empty;
        }

        var files = System.IO.Directory.EnumerateFiles(folder).Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal).ToList();
        var authorities = files.Where(file => file.EndsWith(".crt", StringComparison.Ordinal)).Select(file => HostsText.Quoted(prefix + file)).ToList();

        // Without a file of its own the key is in that of the certificate.
        var clients = files.Where(file => file.EndsWith(".cert", StringComparison.Ordinal))
            .Select(file => (Certificate: file, Key: Path.ChangeExtension(file, ".key")))
            .Select(pair => $"[{HostsText.Quoted(prefix + pair.Certificate)}, {HostsText.Quoted(prefix + (files.Contains(pair.Key) ? pair.Key : pair.Certificate))}]").ToList();
        return (authorities.Count > 0 ? $"ca = [{string.Join(", ", authorities)}]\n" : string.Empty)
            + (clients.Count > 0 ? $"client = [{string.Join(", ", clients)}]\n" : string.Empty);
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
