namespace Peerd.EndToEnd.Harness;

/// <summary>
/// What nodes write while tests run, kept in the folder that <c>PEERD_TEST_OUTPUT</c> names, so that <c>test.sh</c> can look
/// through all of it for secrets. Without that variable nothing is kept. Thread-safe.
/// </summary>
internal static class TestOutput
{
    /// <summary>
    /// Begin of each token, password and signature that a test uses, so that any of them is found wherever it is; base64 does not
    /// hide it, see <c>scripts/find-secrets.sh</c>.
    /// </summary>
    public const string SecretMarker = "S3cret";

    private static readonly string? Folder = Environment.GetEnvironmentVariable("PEERD_TEST_OUTPUT") is { Length: > 0 } folder ? folder : null;

    private static int _files;

    /// <summary>Output is kept, and nodes should say all that they can say.</summary>
    public static bool IsKept => Folder is not null;

    /// <summary>A new file for the output of one node, flushed line by line; null when nothing is kept.</summary>
    public static TextWriter? Open(string name) =>
        Folder is null ? null : new StreamWriter(Path.Combine(Folder, $"{Environment.ProcessId}-{Interlocked.Increment(ref _files)}-{string.Concat(name.Split(Path.GetInvalidFileNameChars()))}.log")) { AutoFlush = true };

    /// <summary>Keeps what a node within this process has logged.</summary>
    public static void Keep(string name, IEnumerable<string> lines)
    {
        using var file = Open(name);
        foreach (var line in file is null ? [] : lines)
        {
            file!.WriteLine(line);
        }
    }
}
