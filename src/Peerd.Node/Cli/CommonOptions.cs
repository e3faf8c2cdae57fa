using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using Peerd.Contracts;

namespace Peerd.Node.Cli;

/// <summary>Options that several verbs have in common, and how their values are read.</summary>
internal static class CommonOptions
{
    /// <summary>Where overlaybd looks for its settings.</summary>
    public const string OverlaybdPath = "/etc/overlaybd/overlaybd.json";

    /// <summary>Where containerd's hosts usually are.</summary>
    public const string CertsPath = "/etc/containerd/certs.d";

    /// <summary><c>--json</c>.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object, for programs." };

    /// <summary>An option that takes the address of a server.</summary>
    public static Option<Uri?> HttpAddress(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "URL",
        CustomParser = ParseHttpAddress(name),
    };

    /// <summary>Reads the address of a server.</summary>
    private static Func<ArgumentResult, Uri?> ParseHttpAddress(string name) => result =>
    {
        var text = result.Tokens[0].Value;
        if (Uri.TryCreate(text, UriKind.Absolute, out var address)
            && (address.Scheme == Uri.UriSchemeHttp || address.Scheme == Uri.UriSchemeHttps)
            && address.PathAndQuery == "/" && address.UserInfo.Length == 0)
        {
            return address;
        }

        result.AddError($"{name} is '{text}'; allowed: http://host:port or https://host:port");
        return null;
    };

    /// <summary>Where containerd looks for hosts.</summary>
    public static Option<string> CertsFolder() => new("--certs-dir")
    {
        Description = "containerd's folder of hosts (its config_path).",
        HelpName = "folder",
        DefaultValueFactory = _ => CertsPath,
    };

    /// <summary>The settings of the node, as for <c>serve</c>.</summary>
    public static Option<FileInfo?> Config() => new("--config") { Description = "The settings of the node, a JSON file.", HelpName = "file" };

    /// <summary>Where overlaybd's settings are.</summary>
    public static Option<string> OverlaybdFile(string name) => new(name)
    {
        Description = "The settings of overlaybd.",
        HelpName = "file",
        DefaultValueFactory = _ => OverlaybdPath,
    };

    /// <summary>An option that takes a number of bytes.</summary>
    public static Option<ByteSize> Size(string name, string description, ByteSize byDefault, ByteSize least, ByteSize most) => new(name)
    {
        Description = description,
        HelpName = "size",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (!ByteSize.TryParse(text, out var size) || size.Bytes < least.Bytes || size.Bytes > most.Bytes)
            {
                result.AddError($"{name} is '{text}'; allowed: {least} to {most}, written like 64MiB");
            }

            return size;
        },
    };

    /// <summary>An option that takes a whole number.</summary>
    public static Option<int> Number(string name, string description, int byDefault, int least = int.MinValue, int most = int.MaxValue) => new(name)
    {
        Description = description,
        HelpName = "number",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            var isNumber = int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number);
            if (!isNumber || number < least || number > most)
            {
                result.AddError($"{name} is {(isNumber ? text : $"'{text}'")}; allowed: {least} to {most}");
            }

            return number;
        },
    };
}
