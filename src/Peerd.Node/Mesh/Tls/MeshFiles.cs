using System.Security.Cryptography;
using System.Text;

namespace Peerd.Node.Mesh.Tls;

/// <summary>The three files of <see cref="MeshTlsOptions"/> as they were at one moment.</summary>
/// <param name="Certificate">PEM of the certificate and those that lead from it to the authority.</param>
/// <param name="Key">PEM of its private key.</param>
/// <param name="Authority">PEM of the roots.</param>
/// <param name="Hash">Of all three: the same files have the same.</param>
internal sealed record MeshFiles(string Certificate, string Key, string Authority, string Hash)
{
    private const int MostBytes = 1 << 20;

    /// <summary>Reads the files.</summary>
    /// <exception cref="MeshTlsException">One of them cannot be read, or is no such file.</exception>
    public static MeshFiles Read(MeshTlsOptions options)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var certificate = Read(nameof(options.Certificate), options.Certificate, hash);
        var key = Read(nameof(options.Key), options.Key, hash);
        var authority = Read(nameof(options.Authority), options.Authority, hash);
        return new MeshFiles(certificate, key, authority, Convert.ToHexString(hash.GetHashAndReset()));
    }

    // Not what a record prints by itself: there is a key in it.
    public override string ToString() => Hash;

    private static string Read(string setting, string path, IncrementalHash hash)
    {
        try
        {
            using var file = File.OpenRead(path);
            if (file.Length > MostBytes)
            {
                throw new MeshTlsException(setting, path, $"it has more than {MostBytes} bytes");
            }

            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            hash.AppendData(bytes);

            // What is at the end of one file is not at the beginning of the next.
            hash.AppendData(BitConverter.GetBytes(bytes.Length));
            return Encoding.ASCII.GetString(bytes);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new MeshTlsException(setting, path, e.Message, e);
        }
    }
}

/// <summary>A file of <see cref="MeshTlsOptions"/> cannot be used; the message names it and says why.</summary>
internal sealed class MeshTlsException : Exception
{
    public MeshTlsException()
    {
    }

    public MeshTlsException(string message)
        : base(message)
    {
    }

    public MeshTlsException(string message, Exception inner)
        : base(message, inner)
    {
    }

    /// <param name="setting">The key, such as <c>Certificate</c>.</param>
    /// <param name="path">The file.</param>
    /// <param name="reason">Why it cannot be used.</param>
    /// <param name="inner">What the system said.</param>
    public MeshTlsException(string setting, string path, string reason, Exception? inner = null)
        : base($"{MeshTlsOptions.Section}:{setting} is '{path}', which cannot be used: {reason.ReplaceLineEndings(" ")}", inner)
    {
    }
}
