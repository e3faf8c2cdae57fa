using System.Globalization;

namespace Peerd.Node.Cli.Fetch;

/// <summary>Sizes as people write and read them: <c>64MiB</c>, <c>64.0 MiB</c>.</summary>
internal static class SizeText
{
    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>Reads a whole number with an optional unit (B, KiB, MiB, GiB, TiB).</summary>
    public static bool TryParse(string text, out long size)
    {
        size = 0;
        var trimmed = text.AsSpan().Trim();
        var digits = trimmed.IndexOfAnyExceptInRange('0', '9');
        digits = digits < 0 ? trimmed.Length : digits;
        if (!long.TryParse(trimmed[..digits], NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return false;
        }

        var unit = trimmed[digits..].Trim();
        for (var i = 0; i < Units.Length; i++)
        {
            if (unit.Equals(Units[i], StringComparison.OrdinalIgnoreCase) || (i == 0 && unit.IsEmpty))
            {
                size = number << (10 * i);
                return size >> (10 * i) == number;
            }
        }

        return false;
    }

    public static string Format(double size)
    {
        var unit = 0;
        for (; size >= 1024 && unit < Units.Length - 1; unit++)
        {
            size /= 1024;
        }

        return unit == 0 ? $"{size:0} B" : $"{size:0.0} {Units[unit]}";
    }
}
