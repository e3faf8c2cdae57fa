namespace Peerd.EndToEnd.Harness;

/// <summary>What a running process holds at one moment, as the kernel counts it.</summary>
/// <param name="Handles">Open files and sockets.</param>
/// <param name="Threads">Threads.</param>
/// <param name="ResidentBytes">Memory that is its own, in RAM.</param>
internal sealed record ProcessUse(int Handles, int Threads, long ResidentBytes)
{
    private const int Kibi = 1024;

    /// <summary>Looks at a process; null when it has ended.</summary>
    public static ProcessUse? Of(int process)
    {
        try
        {
            var status = File.ReadAllLines($"/proc/{process}/status");
            return new ProcessUse(
                System.IO.Directory.GetFiles($"/proc/{process}/fd").Length,
                (int)Number(status, "Threads:"),
                Number(status, "RssAnon:") * Kibi);
        }
        catch (Exception e) when (e is IOException or InvalidOperationException or UnauthorizedAccessException)
        {
            // Gone, before or while it was looked at.
            return null;
        }
    }

    /// <summary>How many of its handles are of files in a folder, and below; 0 when it has ended.</summary>
    public static int HandlesIn(int process, string folder)
    {
        try
        {
            return System.IO.Directory.GetFiles($"/proc/{process}/fd").Count(handle => IsIn(handle, folder));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }

    private static bool IsIn(string handle, string folder)
    {
        try
        {
            return new FileInfo(handle).LinkTarget?.StartsWith(folder + Path.DirectorySeparatorChar, StringComparison.Ordinal) == true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Closed just now.
            return false;
        }
    }

    // "RssAnon:	   12345 kB"
    private static long Number(string[] status, string field) =>
        long.Parse(status.First(line => line.StartsWith(field, StringComparison.Ordinal))[field.Length..].Trim().Split(' ')[0]);
}
