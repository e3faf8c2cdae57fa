using System.Globalization;

namespace Peerd.Contracts;

/// <summary>
/// Reads the values of one section of the configuration and collects what is wrong with them, all faults in the same
/// form: key, value, what is allowed. Not thread-safe.
/// </summary>
/// <param name="section">The section, for example <c>Peerd:Cache</c>.</param>
public sealed class SettingFaults(string section)
{
    private const int LongestValue = 200;

    private readonly List<string> _all = [];

    /// <summary>One line for each fault found so far.</summary>
    public IReadOnlyList<string> All => _all;

    /// <summary>Adds the fault that a value is not allowed.</summary>
    public void Add(string key, string? value, string allowed) => _all.Add($"{section}:{key} is '{Shown(value)}'; allowed: {allowed}");

    /// <summary>Reads a duration; 0 when it is a fault.</summary>
    public TimeSpan ReadDuration(string key, string? value, TimeSpan least, TimeSpan most)
    {
        if (Duration.TryParse(value, out var duration) && duration >= least && duration <= most)
        {
            return duration;
        }

        Add(key, value, $"a duration from {Duration.Format(least)} to {Duration.Format(most)}, such as 500ms, 30s or 2m");
        return default;
    }

    /// <summary>Reads a whole number; 0 when it is a fault.</summary>
    public int ReadNumber(string key, string? value, int least, int most)
    {
        if (int.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= least && number <= most)
        {
            return number;
        }

        Add(key, value, $"a whole number from {least} to {most}");
        return default;
    }

    /// <summary>Reads true or false; false when it is a fault.</summary>
    public bool ReadFlag(string key, string? value)
    {
        if (bool.TryParse(value, out var flag))
        {
            return flag;
        }

        Add(key, value, "true or false");
        return false;
    }

    /// <summary>Reads an amount of bytes; 0 when it is a fault.</summary>
    public ByteSize ReadSize(string key, string? value, ByteSize least, ByteSize? most = null)
    {
        if (ByteSize.TryParse(value, out var size) && size.Bytes >= least.Bytes && size.Bytes <= (most?.Bytes ?? long.MaxValue))
        {
            return size;
        }

        Add(key, value, $"a size {(most is null ? $"of {least} or more" : $"from {least} to {most}")}, such as 512MiB, 10GiB or 1000000 (bytes)");
        return default;
    }

    // A URL with user info holds a password: none of it is shown. Control characters would break the one line.
    private static string Shown(string? value)
    {
        if (value is null || value.Contains('@', StringComparison.Ordinal))
        {
            return value is null ? string.Empty : "(hidden: contains '@')";
        }

        var text = value.Length > LongestValue ? value[..LongestValue] + "…" : value;
        return string.Concat(text.Select(c => char.IsControl(c) ? ' ' : c));
    }
}
