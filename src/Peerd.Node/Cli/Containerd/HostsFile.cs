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
    /// <exception cref="HostsException">It cannot be written; it is as it was.</exception>
    public static void Write(string path, string text)
    {
        var partial = string.Empty;
        try
        {
            // What is edited is what a link leads to, not the link.
            var exists = File.Exists(path);
            var target = exists ? UnixFile.Resolve(path) : path;
            partial = Path.Combine(Path.GetDirectoryName(target)!, $".{Name}.{Path.GetRandomFileName()}.partial");
            using (var stream = new FileStream(partial, new FileStreamOptions
            {
                Mode = FileMode.CreateNew,
                Access = FileAccess.Write,
                Share = FileShare.None,
                BufferSize = 0,
                UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.OtherRead,
            }))
            {
                stream.Write(Strict.GetBytes(text));
                if (exists)
                {
                    var status = UnixFile.Status(target);
                    UnixFile.SetOwner(stream.SafeFileHandle, status.User, status.Group);
                    File.SetUnixFileMode(stream.SafeFileHandle, status.Mode);
                }

                stream.Flush(flushToDisk: true);
            }

            File.Move(partial, target, overwrite: true);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw new HostsException($"{path} cannot be written, it is as it was: {exception.Message.ReplaceLineEndings(" ")}", exception);
        }
        finally
        {
            if (partial.Length > 0)
            {
                File.Delete(partial);
            }
        }
    }
}
