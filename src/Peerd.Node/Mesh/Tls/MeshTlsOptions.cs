using Microsoft.Extensions.Options;
using Peerd.Contracts;

namespace Peerd.Node.Mesh.Tls;

/// <summary>Section <c>Peerd:Mesh:Tls</c>: how nodes prove to each other that they belong to the mesh.</summary>
internal sealed class MeshTlsOptions
{
    public const string Section = "Peerd:Mesh:Tls";

    /// <summary>PEM file with the certificate of this node, followed by those between it and the authority, if any. Empty (default): the mesh speaks in clear text.</summary>
    public string Certificate { get; set; } = string.Empty;

    /// <summary>PEM file with the private key of the certificate, not encrypted.</summary>
    public string Key { get; set; } = string.Empty;

    /// <summary>PEM file with the roots that sign certificates of this mesh; no others are trusted, not those of the system either.</summary>
    public string Authority { get; set; } = string.Empty;

    /// <summary>DNS name that tells this mesh from others: certificates of members have it, or a name below it. Default <c>peerd.mesh</c>.</summary>
    public string Domain { get; set; } = "peerd.mesh";

    /// <summary>
    /// What a certificate must prove: <c>member</c> (default), that its owner belongs to the mesh, or <c>node</c>, that he is
    /// the very node that he says he is: it has the name <c>&lt;node&gt;.&lt;domain&gt;</c>.
    /// </summary>
    public string Names { get; set; } = "member";

    /// <summary>How often the files are read again. Duration, 100ms to 1h; default <c>10s</c>.</summary>
    public string Reload { get; set; } = "10s";

    internal bool IsOn => Certificate.Length > 0;

    internal bool NamesNodes => IsWord("node");

    internal TimeSpan ReloadValue => Duration.Parse(Reload);

    internal bool IsWord(string word) => string.Equals(Names, word, StringComparison.OrdinalIgnoreCase);
}

/// <summary>Checks <see cref="MeshTlsOptions"/> at start; tells all faults at once. What is in the files is checked when they are read.</summary>
internal sealed class MeshTlsOptionsValidator : IValidateOptions<MeshTlsOptions>
{
    private const int LongestDomain = 253;

    public ValidateOptionsResult Validate(string? name, MeshTlsOptions options)
    {
        var faults = new SettingFaults(MeshTlsOptions.Section);
        (string Key, string Value)[] files =
            [(nameof(options.Certificate), options.Certificate), (nameof(options.Key), options.Key), (nameof(options.Authority), options.Authority)];
        foreach (var (key, value) in files.Where(file => files.Any(other => other.Value.Length > 0) && !Path.IsPathRooted(file.Value)))
        {
            faults.Add(key, value, "an absolute path; Certificate, Key and Authority belong together, all three or none");
        }

        if (options.Domain.Length > LongestDomain || Uri.CheckHostName(options.Domain) != UriHostNameType.Dns || options.Domain.Any(char.IsAsciiLetterUpper))
        {
            faults.Add(nameof(options.Domain), options.Domain, "a DNS name in lower case");
        }

        if (!options.NamesNodes && !options.IsWord("member"))
        {
            faults.Add(nameof(options.Names), options.Names, "member or node");
        }

        faults.ReadDuration(nameof(options.Reload), options.Reload, TimeSpan.FromMilliseconds(100), TimeSpan.FromHours(1));
        return faults.All.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(faults.All);
    }
}
