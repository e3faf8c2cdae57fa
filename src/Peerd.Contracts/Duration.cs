using System.Buffers;
using System.Globalization;

namespace Peerd.Contracts;

/// <summary>
/// Durations as people write them in configuration: <c>500ms</c>, <c>30s</c>, <c>2m</c>, <c>1h</c>, <c>7d</c>, with an
/// optional fraction (<c>1.5s</c>), or as <see cref="TimeSpan"/> text (<c>00:00:30</c>). Never negative.
/// </summary>
public static class Duration
{
    private const double MaxSeconds = 100.0 * 365 * 24 * 3600;
    private static readonly SearchValues<char> NumberCharacters = SearchValues.Create("0123456789.");

    /// <summary>Reads a duration; false when the text is none, is negative or longer than a hundred years.</summary>
    public static bool TryParse(string? text, out TimeSpan duration)
    {
        duration = default;
        var value = text.AsSpan().Trim();
        if (value.Contains(':'))
        {
            return TimeSpan.TryParseExact(value, "c", CultureInfo.InvariantCulture, out duration) && duration >= TimeSpan.Zero && duration.TotalSeconds <= MaxSeconds;
        }

        var digits = value.IndexOfAnyExcept(NumberCharacters);
        if (digits <= 0 || !double.TryParse(value[..digits], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number))
        {
            return false;
        }

        double seconds = value[digits..] switch
        {
            "ms" => 0.001,
            "s" => 1,
            "m" => 60,
            "h" => 3600,
            "d" => 86400,
            _ => -1,
        };
        if (seconds < 0 || number * seconds > MaxSeconds)
        {
            return false;
        }

        duration = TimeSpan.FromTicks((long)Math.Round(number * seconds * TimeSpan.TicksPerSecond));
        return true;
    }

    /// <summary>Reads a duration that was validated before.</summary>
    /// <exception cref="FormatException">The text is none.</exception>
    public static TimeSpan Parse(string text) =>
        TryParse(text, out var duration) ? duration : throw new FormatException($"'{text}' is not a duration such as 500ms, 30s or 2m");

    /// <summary>The shortest of the written forms that is exact, for messages: <c>1500ms</c>, <c>30s</c>, <c>2m</c>.</summary>
    public static string Format(TimeSpan duration) => duration.Ticks switch
    {
        0 => "0s",
        var ticks when ticks % TimeSpan.TicksPerHour == 0 => $"{ticks / TimeSpan.TicksPerHour}h",
        var ticks when ticks % TimeSpan.TicksPerMinute == 0 => $"{ticks / TimeSpan.TicksPerMinute}m",
        var ticks when ticks % TimeSpan.TicksPerSecond == 0 => $"{ticks / TimeSpan.TicksPerSecond}s",
        _ => string.Create(CultureInfo.InvariantCulture, $"{duration.TotalMilliseconds:0.####}ms"),
    };
}
