using System.Runtime.Versioning;
using Peerd.Node.Cli.Containerd;

namespace Peerd.Node.Cli.Doctor;

/// <summary>Tells whether containerd pulls through the facade, as far as its settings and hosts say.</summary>
/// <param name="program">containerd's program.</param>
/// <param name="path">containerd's file of settings.</param>
/// <param name="root">Its folder of hosts.</param>
/// <param name="facade">The facade of this node.</param>
/// <param name="time">Clock.</param>
internal sealed class ContainerdCheck(string program, string path, string root, Uri facade, TimeProvider time)
{
    private const string Name = "containerd";

    private readonly List<Finding> _findings = [];
    private readonly string _mirror = facade.GetLeftPart(UriPartial.Authority);

    /// <summary>Runs once.</summary>
    public async Task<IReadOnlyList<Finding>> RunAsync(CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux())
        {
            return _findings;
        }

        Version? version = null;
        try
        {
            if (await ContainerdConfig.ReadAsync(program, path, cancellationToken) is not { } config)
            {
                Add(Severity.Ok, $"neither {program} nor {path} is there: containerd is not installed here");
                return _findings;
            }

            version = config.Version;
            CheckConfig(config);
        }
        catch (FormatException exception)
        {
            Add(Severity.Error, $"{path} {exception.Message}", "repair it, containerd does not start with it");
        }
        catch (HostsException exception)
        {
            Add(Severity.Error, exception.Message, "run this as root");
        }

        if (CheckHosts(version) is > 0 and var led)
        {
            await CheckFacadeAsync(led, cancellationToken);
        }

        return _findings;
    }

    private void CheckConfig(ContainerdConfig config)
    {
        if (config.IsForNoPods)
        {
            Add(Severity.Ok, "containerd runs no pods here (disabled_plugins): only clients that are told to look at hosts use the facade");
            return;
        }

        var folders = config.ConfigPath.Split(':', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        var advice = $"set config_path = \"{root}\" in {(config.IsVersion3 ? "[plugins.\"io.containerd.cri.v1.images\".registry]" : "[plugins.\"io.containerd.grpc.v1.cri\".registry]")} of {path}, and restart containerd";
        if (folders.Length == 0)
        {
            Add(Severity.Error, $"config_path is not set ({config.Source}): for pods containerd looks at no hosts.toml, and pulls straight from the registries", advice);
        }
        else if (folders.Length > 1 && config.TakesOneFolderOnly)
        {
            Add(
                config.Version is null ? Severity.Warning : Severity.Error,
                $"config_path is '{config.ConfigPath}': containerd 2.1 and later take it for one folder, which does not exist, and skip all mirrors without a word",
                advice);
        }
        else if (!folders.Select(folder => folder.TrimEnd('/')).Contains(root.TrimEnd('/'), StringComparer.Ordinal))
        {
            Add(Severity.Error, $"config_path is '{config.ConfigPath}', not {root}", $"give that folder to 'peerd configure containerd --certs-dir' and to this command, or {advice}");
        }
        else
        {
            Add(Severity.Ok, $"config_path leads to {root}");
        }

        if (config.DiscardsLayers)
        {
            Add(
                Severity.Warning,
                "discard_unpacked_layers is true: containerd deletes layers as soon as they are unpacked, and other nodes get them only as long as they are in the cache of this node",
                $"set it to false in {config.ImagesName}, or make Peerd's cache large enough for the images of this node");
        }
    }

    [SupportedOSPlatform("linux")]
    private int CheckHosts(Version? version)
    {
        if (!System.IO.Directory.Exists(root))
        {
            Add(Severity.Warning, $"{root} does not exist: nothing leads containerd to the facade", $"peerd configure containerd --certs-dir {root}");
            return 0;
        }

        var led = 0;
        var folders = System.IO.Directory.EnumerateDirectories(root).Order(StringComparer.Ordinal).ToList();
        var byDefault = HostsOf(Path.Combine(root, ConfiguredRegistry.Default));
        foreach (var folder in folders)
        {
            var name = Path.GetFileName(folder);
            try
            {
                var isDefault = name == ConfiguredRegistry.Default;
                led += CheckFolder(folder, name, version, isDefault ? [] : [.. byDefault.Where(host => host != _mirror)], !isDefault && byDefault.Contains(_mirror)) ? 1 : 0;
            }
            catch (FormatException exception)
            {
                Add(Severity.Error, $"{Path.Combine(folder, HostsFile.Name)} {exception.Message}: containerd ignores the whole file, and pulls from the registry without a word", "repair it");
            }
            catch (HostsException exception)
            {
                Add(Severity.Error, exception.Message, "make it readable");
            }
        }

        if (led == 0)
        {
            Add(Severity.Warning, $"no hosts.toml below {root} leads to the facade at {_mirror}", "peerd configure containerd");
        }

        return led;
    }

    // True when the folder leads to the facade.
    [SupportedOSPlatform("linux")]
    private bool CheckFolder(string folder, string name, Version? version, IReadOnlyList<string> byDefault, bool isLedByDefault)
    {
        var file = Path.Combine(folder, HostsFile.Name);
        var (hosts, registry) = HostsFile.Read(file) is { } text ? new HostsRules(version).Read(text) : ([], []);
        var hidden = byDefault.Where(url => hosts.All(host => host.Key != url) && !(registry.TryGetValue("server", out var server) && server is string own && own == url)).ToList();
        if (hidden.Count > 0)
        {
            Add(
                Severity.Warning,
                $"{folder} hides {ConfiguredRegistry.Default} for {name}: its {(hidden.Count == 1 ? "host" : "hosts")} {string.Join(", ", hidden)} {(hidden.Count == 1 ? "does" : "do")} not count there",
                $"if they should, write them into {file}, too");
        }

        foreach (var missing in hosts.Select(host => host.Value).Append(registry).SelectMany(HostsRules.FilesOf).Distinct(StringComparer.Ordinal).Where(path => !File.Exists(Path.Combine(folder, path))))
        {
            Add(Severity.Error, $"{file} names {missing}, which is not there: each pull from {name} fails", "correct the path, or bring the file back");
        }

        foreach (var (url, host) in hosts.Where(pair => pair.Key.StartsWith("http://", StringComparison.Ordinal)))
        {
            if (host.Keys.FirstOrDefault(key => key is "ca" or "client" or "skip_verify") is { } key)
            {
                Add(Severity.Warning, $"{file} has {key} for {url}: containerd tries TLS there first", $"take {key} out");
            }
        }

        if (hosts.All(host => host.Key != _mirror))
        {
            if (isLedByDefault)
            {
                Add(Severity.Warning, $"{folder} hides {ConfiguredRegistry.Default} for {name}, and does not lead to the facade itself: what is pulled from there goes past the mesh", $"peerd configure containerd --registry {CertsFolder.RegistryOf(name)}, unless this registry is kept out of the mesh on purpose");
            }

            return false;
        }

        if (hosts[0].Key != _mirror)
        {
            Add(Severity.Warning, $"{file} has {hosts[0].Key} before the facade: containerd asks that first", "move it behind the facade");
        }
        else
        {
            Add(Severity.Ok, $"{name} is read through the facade first");
        }

        return true;
    }

    // And where the registry itself is said to be.
    [SupportedOSPlatform("linux")]
    private static List<string> HostsOf(string folder)
    {
        try
        {
            var (hosts, registry) = HostsFile.Read(Path.Combine(folder, HostsFile.Name)) is { } text ? new HostsRules(null).Read(text) : ([], []);
            return [.. hosts.Select(host => host.Key).Concat(registry.TryGetValue("server", out var server) ? [(string)server] : [])];
        }
        catch (Exception exception) when (exception is FormatException or HostsException)
        {
            // Told with the folder itself.
            return [];
        }
    }

    private async Task CheckFacadeAsync(int led, CancellationToken cancellationToken)
    {
        var answer = await FacadeAnswer.OfAsync(facade, time, cancellationToken);
        if (answer.Stranger is { } said)
        {
            Add(Severity.Error, $"what answers at {_mirror} is no facade: {said}", "give the right --facade");
        }
        else if (answer.Silence is { } silence)
        {
            Add(
                Severity.Error,
                $"what listens at {_mirror} takes connections and does not answer ({silence}): containerd waits for it, before 2.3 without end, or goes to the registry once it closes, for {Folders(led)} that lead there",
                "look whether peerd hangs or has all the connections that it may (Facade:MaxConnections), or give the right --facade");
        }
        else if (answer.Failure is not null)
        {
            Add(Severity.Error, $"nothing listens at {_mirror}: containerd goes to the registry for {Folders(led)} that lead there", "start peerd on this node, or give the right --facade");
        }
        else
        {
            Add(Severity.Ok, $"the facade answers at {_mirror}");
        }
    }

    private static string Folders(int count) => $"{count} {(count == 1 ? "folder" : "folders")}";

    private void Add(Severity severity, string seen, string? advice = null) => _findings.Add(new Finding(Name, severity, seen, advice));
}
