namespace Peerd.EndToEnd.Harness;

/// <summary>
/// A folder of its own in the temporary folder. A lock that the kernel drops when this process ends, however it ends, tells
/// others whether anybody still needs it.
/// </summary>
internal sealed class LabFolder : IDisposable
{
    // Short: the path of a Unix socket may not be longer than 107 bytes.
    private const string Prefix = "peerd-";
    private const string LockName = ".owner";

    // A folder is not locked in the very moment in which it is made.
    private static readonly TimeSpan YoungAge = TimeSpan.FromMinutes(1);

    private readonly FileStream _lock;

    public LabFolder()
    {
        FullName = System.IO.Directory.CreateTempSubdirectory(Prefix).FullName;
        _lock = Lock(FullName);
    }

    /// <summary>Its path.</summary>
    public string FullName { get; }

    /// <summary>Removes folders whose owners were killed.</summary>
    public static void RemoveLeft(TimeProvider time)
    {
        foreach (var folder in System.IO.Directory.EnumerateDirectories(Path.GetTempPath(), Prefix + "*"))
        {
            try
            {
                var file = new FileInfo(Path.Combine(folder, LockName));
                if (file.Exists && time.GetUtcNow() - new DateTimeOffset(file.CreationTimeUtc) > YoungAge)
                {
                    using var ours = Lock(folder);
                    System.IO.Directory.Delete(folder, recursive: true);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // In use, or another's.
            }
        }
    }

    /// <inheritdoc />
    public void Dispose()
    {
        System.IO.Directory.Delete(FullName, recursive: true);
        _lock.Dispose();
    }

    private static FileStream Lock(string folder) => new(Path.Combine(folder, LockName), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
}
