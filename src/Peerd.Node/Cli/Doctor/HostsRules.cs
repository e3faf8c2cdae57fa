using System.Text.RegularExpressions;
using Peerd.Node.Cli.Containerd;
using Tomlyn.Model;

namespace Peerd.Node.Cli.Doctor;

/// <summary>
/// What containerd takes in a <c>hosts.toml</c>. One wrong value and it ignores the whole file, so all are looked at.
/// </summary>
/// <param name="version">containerd's version; null when unknown.</param>
internal sealed partial class HostsRules(Version? version)
{
    private static readonly string[] Capabilities = ["pull", "resolve", "push"];
    private static readonly Version KnowsReferrers = new(2, 2);
    private static readonly Version KnowsDialTimeout = new(2, 0, 7);
    private static readonly Version RefusesByteOrderMark = new(2, 0);
    private static readonly Version NeedsNoHost = new(1, 7);

    /// <summary>Reads a file as containerd does.</summary>
    /// <returns>The hosts in their order, and what is said for the registry itself.</returns>
    /// <exception cref="FormatException">containerd would not take it; the message completes "the file …".</exception>
    public (IReadOnlyList<KeyValuePair<string, TomlTable>> Hosts, TomlTable Registry) Read(string text)
    {
        if (text.StartsWith('\uFEFF') && (version is null || version >= RefusesByteOrderMark))
        {
            throw new FormatException("begins with a byte order mark, which containerd 2 does not take");
        }

        var file = HostsText.Parse(text);
        var hosts = HostsText.HostsOf(file);
        if (hosts is null && version < NeedsNoHost)
        {
            throw new FormatException("has no host, which containerd 1.6 does not take");
        }

        if (file.TryGetValue("server", out var server) && server is not string)
        {
            throw new FormatException("has a server that is no text");
        }

        Check("the registry", file);
        var read = new List<KeyValuePair<string, TomlTable>>();
        foreach (var (url, value) in hosts ?? [])
        {
            var host = value as TomlTable ?? throw new FormatException($"has a host {url} that is no table");
            Check(url, host);
            read.Add(new(url, host));
        }

        return (read, file);
    }

    /// <summary>The files of certificates and keys that a host names, as they are written.</summary>
    /// <param name="host">A host that was read before.</param>
    public static IEnumerable<string> FilesOf(TomlTable host) =>
        host.Where(pair => pair.Key is "ca" or "client").SelectMany(pair => Texts(pair.Value));

    private static IEnumerable<string> Texts(object? value) => value switch
    {
        string text => [text],
        TomlArray list => list.SelectMany(Texts),
        _ => [],
    };

    private void Check(string of, TomlTable host)
    {
        if (host.TryGetValue("capabilities", out var capabilities))
        {
            foreach (var capability in capabilities as TomlArray ?? throw new FormatException($"has capabilities of {of} that are no list"))
            {
                CheckCapability(of, capability);
            }
        }

        foreach (var flag in (string[])["skip_verify", "override_path"])
        {
            Expect(host, flag, static value => value is bool, $"a {flag} of {of} that is neither true nor false");
        }

        Expect(host, "ca", IsTextOrTexts, $"a ca of {of} that is neither a path nor a list of paths");
        Expect(
            host, "client", static value => value is string || (value is TomlArray list && list.All(static item => item is string || (item is TomlArray { Count: 2 } pair && pair.All(static path => path is string)))),
            $"a client of {of} that is neither a path nor a list of paths or of pairs of them");
        Expect(host, "header", static value => value is TomlTable header && header.Values.All(IsTextOrTexts), $"a header of {of} that is no table of texts");
        if (version is null || version >= KnowsDialTimeout)
        {
            Expect(host, "dial_timeout", static value => value is string time && (time.Length == 0 || Duration().IsMatch(time)), $"a dial_timeout of {of} that is no time such as \"1s\"");
        }
    }

    private void CheckCapability(string of, object? capability)
    {
        var word = (capability as string)?.ToLowerInvariant();
        if (!Capabilities.Contains(word, StringComparer.Ordinal) && !(word == "referrers" && (version is null || version >= KnowsReferrers)))
        {
            throw new FormatException($"has the capability '{capability}' for {of}, which {(version is null ? "containerd" : $"containerd {version}")} does not know");
        }
    }

    private static void Expect(TomlTable host, string key, Func<object?, bool> isRight, string otherwise)
    {
        if (host.TryGetValue(key, out var value) && !isRight(value))
        {
            throw new FormatException($"has {otherwise}");
        }
    }

    private static bool IsTextOrTexts(object? value) => value is string || (value is TomlArray list && list.All(static item => item is string));

    // As Go reads it.
    [GeneratedRegex(@"\A[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)\z", RegexOptions.ExplicitCapture, matchTimeoutMilliseconds: 1000)]
    private static partial Regex Duration();
}
