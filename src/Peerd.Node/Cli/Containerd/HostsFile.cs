using System.Runtime.Versioning;
using System.Text;

namespace Peerd.Node.Cli.Containerd;

/// <summary>A <c>hosts.toml</c> on disk: read and replaced whole; what is replaced keeps its mode and owner.</summary>
[SupportedOSPlatform("linux")]
internal static class HostsFile
{
    public const string Name = "hosts.toml";

    private const int Limit = 1 << 20;

    private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>Reads one; null when there is none.</summary>
    /// <exception cref="HostsException">It cannot be read.</exception>
    public static string? Read(string path)
    {
        try
        {
            if (!File.Exists(path))
            {
                return null;
            }

            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
            var bytes = new byte[Limit + 1];
            var length = stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false);
            return length <= Limit ? Strict.GetString(bytes, 0, length) : throw new HostsException($"{path} is larger than 1 MiB");
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException or DecoderFallbackException)
        {
            throw new HostsException($"{path} cannot be read: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
    }

    /// <summary>Writes one, new or in place of the old: a reader sees one or the other.</summary>
    /// <param name="path">The file.</param>
    /// <param name="expected">What it is now; null when it is not there.</param>
    /// <param name="text">What it is to be.</param>
    /// <exception cref="HostsException">It cannot be written, or somebody else has changed it; it is as it was.</exception>
    public static void Write(string path, string? expected, string text)
    {
        bool isWritten;
        try
        {
            // What is edited is what a link leads to, not the link.
            var target = expected is null ? path : UnixFile.Resolve(path);
            isWritten = UnixFile.TryReplace(target, Strict.GetBytes(text), expected is null ? null : UnixFile.Status(target), () => Read(path) == expected);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new HostsException($"{path} cannot be written, it is as it was: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }

        if (!isWritten)
        {
            throw new HostsException($"{path} is being changed by somebody else at the moment, and was left; try again");
        }
    }
}
