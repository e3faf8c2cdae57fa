using System.Text.Json;
using System.Text.Json.Serialization;

namespace Peerd.Node.Membership.Kubernetes;

/// <summary>The last list of members on disk, for a start without the API server. Used by one caller at a time.</summary>
/// <param name="path">The file; empty for none.</param>
/// <param name="logger">Where failures are told.</param>
internal sealed partial class MembersFile(string path, ILogger logger)
{
    private const int MaxSize = 64 * 1024 * 1024;

    private bool _hasTidied;
    private bool _hasFailed;

    /// <summary>Has the disk keep what was written. For as long as that takes: it cannot be cancelled.</summary>
    internal Action<FileStream> Flush { get; init; } = static file => file.Flush(flushToDisk: true);

    /// <summary>
    /// False while another process of the node, which was started later, keeps the list: what this one knows may be older, or of
    /// other settings.
    /// </summary>
    internal Func<bool> IsOurs { get; init; } = static () => true;

    /// <summary>There is no file.</summary>
    public bool IsNone => path.Length == 0;

    /// <summary>The list as it was saved; null when there is none, or none that makes sense.</summary>
    public MemberList? Load()
    {
        if (IsNone || !File.Exists(path))
        {
            return null;
        }

        try
        {
            using var file = File.OpenRead(path);
            if (file.Length > MaxSize)
            {
                throw new InvalidDataException("it is too large");
            }

            var saved = JsonSerializer.Deserialize(file, MembersJson.Default.ListSavedMember) ?? [];
            return new MemberList(saved.Select(Checked));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or JsonException or ArgumentException or InvalidDataException)
        {
            Log.Unread(logger, path, e.Message);
            return null;
        }
    }

    /// <summary>Saves a list: all of it or, when the machine stops in between, the one before. False when that failed, or the file is not ours.</summary>
    public bool Save(MemberList members)
    {
        if (!IsOurs())
        {
            return false;
        }

        // At an upgrade the former process may be about to save the same: each writes a file of its own.
        var temporary = $"{path}.{Path.GetRandomFileName()}.new";
        try
        {
            Tidy();
            using (var file = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None))
            {
                var saved = members.Members.Select(member => new SavedMember(member.Name, MemberAddress.Format(member.Address), member.Zone)).ToList();
                JsonSerializer.Serialize(file, saved, MembersJson.Default.ListSavedMember);
                Flush(file);
            }

            // The disk may have taken long.
            if (!IsOurs())
            {
                File.Delete(temporary);
                return false;
            }

            File.Move(temporary, path, overwrite: true);
            _hasFailed = false;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            if (!_hasFailed)
            {
                Log.Unsaved(logger, path, e.Message);
            }

            _hasFailed = true;
            _hasTidied = false;
        }

        return !_hasFailed;
    }

    // What was left when a process was killed or the disk was full. Who is just writing such a file does it once more.
    private void Tidy()
    {
        if (!_hasTidied)
        {
            var folder = System.IO.Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            foreach (var left in folder.EnumerateFiles($"{Path.GetFileName(path)}*.new"))
            {
                left.Delete();
            }

            _hasTidied = true;
        }
    }

    private static Member Checked(SavedMember? member) =>
        member is { Name: not null } && NodeName.IsValid(member.Name) && NodeName.IsValidZone(member.Zone ?? string.Empty) && MemberAddress.TryParse(member.Address, out var address)
            ? new Member(member.Name, address, member.Zone ?? string.Empty)
            : throw new InvalidDataException("an entry makes no sense");

    private static partial class Log
    {
        [LoggerMessage(20, LogLevel.Warning, "The last list of members in {File} cannot be read: {Reason}")]
        public static partial void Unread(ILogger logger, string file, string reason);

        [LoggerMessage(21, LogLevel.Warning, "The list of members cannot be saved in {File}; a start without the API server would find none: {Reason}")]
        public static partial void Unsaved(ILogger logger, string file, string reason);
    }
}

/// <summary>A member in the file.</summary>
internal sealed record SavedMember(string? Name, string? Address, string? Zone);

/// <summary>Reads and writes the file without reflection.</summary>
[JsonSerializable(typeof(List<SavedMember>))]
internal sealed partial class MembersJson : JsonSerializerContext;
