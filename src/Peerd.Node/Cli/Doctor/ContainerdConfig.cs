using System.Diagnostics;
using System.Runtime.Versioning;
using System.Text.RegularExpressions;
using Peerd.Node.Cli.Containerd;
using Tomlyn.Model;

namespace Peerd.Node.Cli.Doctor;

/// <summary>containerd's settings as far as they matter here: what it says itself is in force, else what its file says.</summary>
/// <param name="Source">Where they come from, for people.</param>
/// <param name="Version">containerd's version, such as 1.6 or 2.1; null when unknown.</param>
/// <param name="Settings">The settings.</param>
internal sealed partial record ContainerdConfig(string Source, Version? Version, TomlTable Settings)
{
    public const string DefaultPath = "/etc/containerd/config.toml";

    private static readonly string[] Legacy = ["mirrors", "configs", "auths"];

    private const int LongestOutput = 4 << 20;
    private const int MostImports = 100;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    /// <summary>The CRI plugin of containerd 2 is another one.</summary>
    public bool IsVersion3 => Settings.TryGetValue("version", out var version) && version is long and >= 3;

    /// <summary>Pulls for pods.</summary>
    public TomlTable? Images => Table(Settings, "plugins", IsVersion3 ? "io.containerd.cri.v1.images" : "io.containerd.grpc.v1.cri");

    /// <summary>No pods are run with it, as where Docker brings it.</summary>
    public bool IsForNoPods => Settings.TryGetValue("disabled_plugins", out var disabled) && disabled is TomlArray plugins
        && plugins.Any(static plugin => plugin is "cri" or "io.containerd.grpc.v1.cri" or "io.containerd.cri.v1.images");

    /// <summary>Where the settings of pulls are, as they are written.</summary>
    public string ImagesName => $"[plugins.\"{(IsVersion3 ? "io.containerd.cri.v1.images" : "io.containerd.grpc.v1.cri")}\"{(IsVersion3 ? string.Empty : ".containerd")}]";

    /// <summary>Folders of hosts as they are set; empty when none are.</summary>
    public string ConfigPath => Images is { } images && Table(images, "registry") is { } registry && registry.TryGetValue("config_path", out var path) ? path as string ?? string.Empty : string.Empty;

    /// <summary>Layers are deleted as soon as they are unpacked.</summary>
    public bool DiscardsLayers => Images is { } images && IsTrue(IsVersion3 ? images : Table(images, "containerd"), "discard_unpacked_layers");

    /// <summary>
    /// From 2.1 on pulls go through the transfer service, which knows one folder of hosts only, unless something asks for the
    /// old way.
    /// </summary>
    public bool TakesOneFolderOnly => (Version is null || Version >= new Version(2, 1)) && Images is { } images
        && !(Table(images, "registry") is { } registry && Legacy.Any(key => Table(registry, key) is { Count: > 0 }))
        && !IsTrue(images, "use_local_image_pull") && !DiscardsLayers && !IsFalse(IsVersion3 ? images : Table(images, "containerd"), "disable_snapshot_annotations") && !IsTrue(images, "image_pull_with_sync_fs")
        && (!images.TryGetValue("max_concurrent_downloads", out var downloads) || downloads is 3L);

    /// <summary>Reads the settings; null when containerd is not here.</summary>
    /// <param name="program">containerd's program.</param>
    /// <param name="path">Its file.</param>
    /// <param name="cancellationToken">Ends the wait for the program.</param>
    /// <exception cref="FormatException">They are no TOML; the message completes "… ".</exception>
    /// <exception cref="HostsException">The file cannot be read.</exception>
    public static async Task<ContainerdConfig?> ReadAsync(string program, string path, CancellationToken cancellationToken)
    {
        var version = await RunAsync(program, ["--version"], cancellationToken) is { } text && VersionPattern().Match(text) is { Success: true } match
            ? System.Version.Parse(match.Value.Trim('v', ' ')) : null;
        if (version is not null && await RunAsync(program, ["--config", path, "config", "dump"], cancellationToken) is { } dump)
        {
            return new ContainerdConfig($"{program} config dump", version, HostsText.Parse(dump));
        }

        if (!OperatingSystem.IsLinux() || HostsFile.Read(path) is not { } file)
        {
            return version is null ? null : new ContainerdConfig("its defaults", version, []);
        }

        var settings = HostsText.Parse(file);
        var imported = Import(path, settings);
        return new ContainerdConfig(imported == 0 ? path : $"{path} and {imported} that it imports", version, settings);
    }

    // As containerd does: one file after the other, each over those before, and a plugin's settings always whole.
    [SupportedOSPlatform("linux")]
    private static int Import(string path, TomlTable settings)
    {
        var seen = new HashSet<string>(StringComparer.Ordinal) { Path.GetFullPath(path) };
        var pending = new Queue<string>(ImportsOf(path, settings));
        while (pending.TryDequeue(out var next))
        {
            if (!seen.Add(next))
            {
                continue;
            }

            if (seen.Count > MostImports)
            {
                throw new FormatException($"imports more than {MostImports} files");
            }

            var file = HostsFile.Read(next) ?? throw new FormatException($"imports {next}, which is not there");
            try
            {
                var imported = HostsText.Parse(file);
                Merge(settings, imported);
                foreach (var further in ImportsOf(next, imported))
                {
                    pending.Enqueue(further);
                }
            }
            catch (FormatException exception)
            {
                throw new FormatException($"imports {next}, which {exception.Message}", exception);
            }
        }

        return seen.Count - 1;
    }

    private static void Merge(TomlTable settings, TomlTable imported)
    {
        foreach (var (key, value) in imported)
        {
            if (value is TomlTable from && settings.TryGetValue(key, out var there) && there is TomlTable to)
            {
                foreach (var (name, section) in from)
                {
                    to[name] = section;
                }
            }
            else if (value is TomlArray more && settings.TryGetValue(key, out var list) && list is TomlArray known)
            {
                foreach (var item in more)
                {
                    known.Add(item);
                }
            }
            else if (key != "version")
            {
                settings[key] = value;
            }
        }
    }

    private static IEnumerable<string> ImportsOf(string path, TomlTable settings)
    {
        var patterns = settings.TryGetValue("imports", out var imports) && imports is TomlArray list ? list.OfType<string>() : [];
        foreach (var pattern in patterns.Select(pattern => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(path) ?? string.Empty, pattern))))
        {
            if (!Path.GetFileName(pattern).Contains('*', StringComparison.Ordinal))
            {
                yield return pattern;
                continue;
            }

            var folder = Path.GetDirectoryName(pattern)!;
            foreach (var file in System.IO.Directory.Exists(folder) ? System.IO.Directory.EnumerateFiles(folder, Path.GetFileName(pattern)).Order(StringComparer.Ordinal) : (IEnumerable<string>)[])
            {
                yield return file;
            }
        }
    }

    private static TomlTable? Table(TomlTable table, params ReadOnlySpan<string> path)
    {
        foreach (var key in path)
        {
            if (!table.TryGetValue(key, out var value) || value is not TomlTable inner)
            {
                return null;
            }

            table = inner;
        }

        return table;
    }

    private static bool IsTrue(TomlTable? table, string key) => table is not null && table.TryGetValue(key, out var value) && value is true;

    private static bool IsFalse(TomlTable? table, string key) => table is not null && table.TryGetValue(key, out var value) && value is false;

    private static async Task<string?> RunAsync(string program, string[] arguments, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(Patience);
        try
        {
            using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true, UseShellExecute = false })!;
            try
            {
                var errors = process.StandardError.ReadToEndAsync(patience.Token);
                var output = await process.StandardOutput.ReadToEndAsync(patience.Token);
                await errors;
                await process.WaitForExitAsync(patience.Token);
                return process.ExitCode == 0 && output.Length <= LongestOutput ? output : null;
            }
            finally
            {
                if (!process.HasExited)
                {
                    process.Kill(entireProcessTree: true);
                }
            }
        }
        catch (Exception exception) when (exception is System.ComponentModel.Win32Exception or IOException || (exception is OperationCanceledException && !cancellationToken.IsCancellationRequested))
        {
            return null;
        }
    }

    [GeneratedRegex(@"\sv?\d+\.\d+(\.\d+)?", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex VersionPattern();
}
