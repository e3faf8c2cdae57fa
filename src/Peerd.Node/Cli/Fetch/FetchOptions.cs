using System.Diagnostics.CodeAnalysis;

namespace Peerd.Node.Cli.Fetch;

/// <summary>What <c>peerd fetch</c> was asked to do; always valid.</summary>
internal sealed record FetchOptions(FetchTarget Target, string? Output, Uri Facade, Uri Node, Platform Platform)
{
    public const string DefaultFacade = "http://127.0.0.1:30000";
    public const string DefaultNode = "http://127.0.0.1:30001";

    /// <summary>Checks the arguments; otherwise <paramref name="error"/> is one line for people.</summary>
    public static bool TryCreate(string target, string? output, string facade, string node, string? platform, [NotNullWhen(true)] out FetchOptions? options, [NotNullWhen(false)] out string? error)
    {
        options = null;
        if (!FetchTarget.TryParse(target, out var parsed, out error))
        {
            return false;
        }

        var wanted = Platform.Local;
        Uri? nodeAddress = null;
        error = !TryParseAddress(facade, out var facadeAddress) ? $"--facade '{facade}' is no address; expected http://<host>:<port>"
            : !TryParseAddress(node, out nodeAddress) ? $"--node '{node}' is no address; expected http://<host>:<port>"
            : platform is not null && !Platform.TryParse(platform, out wanted) ? $"--platform '{platform}' is no platform; expected <os>/<architecture>[/<variant>], for example linux/amd64"
            : output is not null && parsed is ImageTarget && !OciLayout.IsFree(output) ? $"--output '{output}' exists; name a folder that does not, or an empty one"
            : output is not null && parsed is BlobTarget && System.IO.Directory.Exists(output) ? $"--output '{output}' is a folder; name a file"
            : null;
        if (error is not null)
        {
            return false;
        }

        options = new FetchOptions(parsed, output is null ? null : Path.GetFullPath(output), facadeAddress!, nodeAddress!, wanted!);
        return true;

        static bool TryParseAddress(string text, out Uri? address) => Uri.TryCreate(text, UriKind.Absolute, out address) && address.Scheme is "http" or "https";
    }
}
