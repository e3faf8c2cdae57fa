using System.Net;
using System.Text.Json;
using Peerd.Node.Cli.Overlaybd;

namespace Peerd.Node.Cli.Doctor;

/// <summary>Tells whether overlaybd reads through the facade, as far as its settings say.</summary>
/// <param name="path">The settings of overlaybd.</param>
/// <param name="facade">The facade of this node.</param>
/// <param name="time">Clock.</param>
internal sealed class OverlaybdCheck(string path, Uri facade, TimeProvider time)
{
    private const string Name = "overlaybd";
    private const string Download = "download";
    private const string CacheConfig = "cacheConfig";
    private const string EnableThread = "enableThread";
    private const string RegistryFsVersion = "registryFsVersion";

    private readonly List<Finding> _findings = [];

    private string ConfigureAdvice => $"peerd configure overlaybd{(path == CommonOptions.OverlaybdPath ? string.Empty : $" --file {path}")}{(facade.Port == 30000 ? string.Empty : $" --address http://localhost:{facade.Port}{OverlaybdAddress.FacadePath}")}";

    /// <summary>Runs once.</summary>
    public async Task<IReadOnlyList<Finding>> RunAsync(CancellationToken cancellationToken)
    {
        if (!OperatingSystem.IsLinux() || !OverlaybdFile.Exists(path))
        {
            Add(Severity.Ok, $"{path} does not exist: overlaybd is not installed here");
            return _findings;
        }

        try
        {
            var settings = new JsonObjectText(new OverlaybdFile(path).Read());
            CheckSyntax(settings);
            CheckThreads(settings);
            await CheckP2pAsync(settings, cancellationToken);
        }
        catch (OverlaybdException exception)
        {
            Add(Severity.Error, exception.Message, "make it readable");
        }
        catch (FormatException exception)
        {
            Add(Severity.Error, $"{path} {exception.Message}; overlaybd cannot use it", "repair the file");
        }

        return _findings;
    }

    private void CheckSyntax(JsonObjectText settings)
    {
        try
        {
            using var document = JsonDocument.Parse(settings.Bytes, new JsonDocumentOptions { MaxDepth = JsonObjectText.MaxDepth });
        }
        catch (JsonException exception)
        {
            Add(Severity.Error, $"{path} has a comment or a trailing comma, which overlaybd does not take: {exception.Message.ReplaceLineEndings(" ")}", "take it out, else overlaybd does not start");
        }

        CheckCount(settings, P2pSetting.Section, P2pSetting.Section);
        if (settings.ObjectOf(P2pSetting.Section) is { } p2p)
        {
            CheckCount(p2p, P2pSetting.EnableKey, $"{P2pSetting.Section}.{P2pSetting.EnableKey}");
            CheckCount(p2p, P2pSetting.AddressKey, $"{P2pSetting.Section}.{P2pSetting.AddressKey}");
        }
    }

    private void CheckCount(JsonObjectText settings, string name, string shown)
    {
        if (settings.Count(name) > 1)
        {
            Add(Severity.Warning, $"{shown} is there more than once; overlaybd takes the first", "leave one");
        }
    }

    private void CheckThreads(JsonObjectText settings)
    {
        var cacheType = settings.ObjectOf(CacheConfig)?.Find("cacheType")?.Text;
        if (string.IsNullOrEmpty(cacheType))
        {
            // The old place.
            cacheType = settings.Find("cacheType")?.Text ?? "file";
        }

        if (IsTrue(settings, EnableThread) && cacheType == "file")
        {
            Add(Severity.Error, $"{EnableThread} is true with a file cache: overlaybd does not start with both", $"set {EnableThread} to false");
        }
    }

    private async Task CheckP2pAsync(JsonObjectText settings, CancellationToken cancellationToken)
    {
        var p2p = P2pSetting.Of(settings);
        if (P2pSetting.Object(settings)?.Find(P2pSetting.EnableKey) is { } enable && p2p.Enabled is null)
        {
            Add(Severity.Error, $"p2pConfig.enable is {JsonMemberText.Describe(enable.Type)}; overlaybd takes only true and false", ConfigureAdvice);
            return;
        }

        if (p2p.Enabled != true)
        {
            Add(Severity.Warning, "p2p is off: overlaybd reads straight from the registry, not through the mesh", ConfigureAdvice);
            return;
        }

        CheckUse(settings);
        if (p2p.Address is null)
        {
            Add(Severity.Error, "p2p is on, but p2pConfig.address is not set or no string: overlaybd looks for a server where none is, and reads straight from the registry without a word", ConfigureAdvice);
            return;
        }

        await CheckAddressAsync(OverlaybdAddress.Of(p2p.Address), cancellationToken);
    }

    /// <summary>What else has to do with reading through the facade.</summary>
    private void CheckUse(JsonObjectText settings)
    {
        if (settings.Find(RegistryFsVersion) is { } version && version.Text != "v2")
        {
            Add(Severity.Warning, $"{RegistryFsVersion} is not v2: version 1 does not notice when an answer ends early, and hands wrong bytes to the container", $"set {RegistryFsVersion} to \"v2\"");
        }

        if (settings.ObjectOf(Download) is { } download && IsTrue(download, P2pSetting.EnableKey))
        {
            Add(Severity.Warning, "download.enable is true: some time after a container starts, overlaybd fetches all its layers whole, through the mesh, and keeps them a second time on this disk", "set download.enable to false");
        }

        if (settings.ObjectOf(CacheConfig) is not null)
        {
            Add(Severity.Ok, "while p2p is in use overlaybd does not use its own cache (cacheConfig) for new devices; the cache of Peerd takes its place");
        }
    }

    private async Task CheckAddressAsync(OverlaybdAddress address, CancellationToken cancellationToken)
    {
        var shown = OverlaybdAddress.Shown(address.Text);
        if (address.Fault is { } fault)
        {
            Add(Severity.Error, $"p2pConfig.address is '{shown}': {fault}", ConfigureAdvice);
        }
        else if (address.Port != facade.Port)
        {
            Add(Severity.Error, $"p2pConfig.address is '{shown}', which is not the facade of this node ({facade.GetLeftPart(UriPartial.Authority)})", $"{ConfigureAdvice}, or give the right --facade to this command");
        }
        else
        {
            Tell(await FacadeAnswer.OfAsync(new Uri($"http://{address.Tried}"), time, cancellationToken), address.Tried, shown);
        }
    }

    private void Tell(FacadeAnswer answer, IPEndPoint tried, string shown)
    {
        if (answer.Stranger is { } said)
        {
            Add(Severity.Error, $"what answers at {tried} is no facade: {said}; overlaybd takes it for one, and reads there", "end that server and start peerd, or let peerd listen elsewhere (Facade:Listen) and configure overlaybd anew");
        }
        else if (answer.Silence is { } silence)
        {
            // To connect is all that overlaybd does to see whether a server is there.
            Add(Severity.Error, $"what listens at {tried} takes connections and does not answer ({silence}): overlaybd takes it for a server, and its reads wait or fail", "look whether peerd hangs or has all the connections that it may (Facade:MaxConnections), or whether another program has that port");
        }
        else if (answer.Failure is { } failure)
        {
            Add(Severity.Error, $"nothing listens at {tried} ({failure}): overlaybd reads straight from the registry for each new device, without a word", "start peerd on this node, with Facade:Listen on an IPv4 address");
        }
        else
        {
            Add(Severity.Ok, $"p2p is on and leads to the facade at {shown}, which answers");
        }
    }

    private static bool IsTrue(JsonObjectText settings, string name) => settings.Find(name) is { Type: JsonTokenType.True };

    private void Add(Severity severity, string seen, string? advice = null) => _findings.Add(new Finding(Name, severity, seen, advice));
}
