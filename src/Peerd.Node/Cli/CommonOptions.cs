using System.CommandLine;
using Peerd.Contracts;

namespace Peerd.Node.Cli;

/// <summary>Options that several verbs have in common, and how their values are read.</summary>
internal static class CommonOptions
{
    /// <summary><c>--json</c>.</summary>
    public static Option<bool> Json() => new("--json") { Description = "Print one JSON object, for programs." };

    /// <summary><c>--address</c>: the node to ask.</summary>
    public static Option<Uri> NodeAddress() => HttpAddress("--address", "The mesh listener of the node to ask.", "http://127.0.0.1:30001");

    /// <summary>An option that takes the address of a server.</summary>
    public static Option<Uri> HttpAddress(string name, string description, string byDefault) => new(name)
    {
        Description = description,
        HelpName = "URL",
        DefaultValueFactory = _ => new Uri(byDefault),
        CustomParser = result =>
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
        },
    };

    /// <summary>An option that takes a number of bytes, at least 1.</summary>
    public static Option<ByteSize> Size(string name, string description, ByteSize byDefault) => new(name)
    {
        Description = description,
        HelpName = "size",
        DefaultValueFactory = _ => byDefault,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (!ByteSize.TryParse(text, out var size) || size.Bytes == 0)
            {
                result.AddError($"{name} is '{text}'; allowed: {ByteSize.Expected}, at least 1");
            }

            return size;
        },
    };

    /// <summary>Refuses numbers outside the range.</summary>
    public static Option<int> WithRange(this Option<int> option, int least, int most)
    {
        option.Validators.Add(result =>
        {
            // What is no number at all has been reported by the parser.
            if (int.TryParse(result.Tokens.Count == 1 ? result.Tokens[0].Value : null, out var value) && (value < least || value > most))
            {
                result.AddError($"{option.Name} is {value}; allowed: {least} to {most}");
            }
        });
        return option;
    }
}
