using System.Globalization;
using Peerd.Benchmarks.Measuring;
using Peerd.EndToEnd.Harness;

namespace Peerd.Benchmarks.Servers;

/// <summary>curl, reading a URL and discarding what it gets.</summary>
internal static class Curl
{
    private static readonly TimeSpan Timeout = TimeSpan.FromMinutes(5);

    /// <summary>Reads a URL and measures both ends.</summary>
    public static Task<Transfer> MeasureAsync(Lab lab, Uri url, RunningProcess sender, string? tlsFolder = null) =>
        Transfer.MeasureAsync(sender.Id, ProcessorTime.OfEndedChildren, () => ReadAsync(lab, url, tlsFolder));

    /// <summary>Reads a URL and returns how many bytes it had.</summary>
    /// <param name="lab">Owns the process.</param>
    /// <param name="url">What to read.</param>
    /// <param name="tlsFolder">Has the files of <see cref="MeshAuthority"/>, the server's and the client's.</param>
    public static async Task<long> ReadAsync(Lab lab, Uri url, string? tlsFolder = null)
    {
        // The certificate has the name of the mesh and not that of the server.
        string[] tls = tlsFolder is null
            ? [url.ToString()]
            :
            [
                "--tlsv1.3", "--cacert", $"{tlsFolder}/ca.crt", "--cert", $"{tlsFolder}/tls.crt", "--key", $"{tlsFolder}/tls.key",
                "--connect-to", $"peerd.mesh:{url.Port}:{url.Authority}", new UriBuilder(url) { Host = "peerd.mesh" }.Uri.ToString(),
            ];
        var process = await lab.RunAsync(
            "curl", "/usr/bin/curl", ["--silent", "--show-error", "--fail", "--output", "/dev/null", "--write-out", "%{size_download}", .. tls], Timeout);
        return process.ExitCode == 0
            ? long.Parse(process.Output[0], CultureInfo.InvariantCulture)
            : throw new InvalidOperationException($"{url} cannot be read.\n{process.Tail()}");
    }
}
