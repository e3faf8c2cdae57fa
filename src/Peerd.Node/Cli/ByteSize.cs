using System.Globalization;

namespace Peerd.Node.Cli;

/// <summary>A size as people write it: <c>64MiB</c>, <c>1.5 GiB</c>.</summary>
internal readonly record struct ByteSize(long Bytes)
{
    /// <summary>What <see cref="TryParse"/> accepts, for error texts.</summary>
    public const string Allowed = "a number of bytes, or a number with KiB, MiB, GiB, TiB";

    private static readonly string[] Units = ["B", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>Reads a whole number of bytes, or a number with a unit.</summary>
    public static bool TryParse(string text, out ByteSize size)
    {
        size = default;
        var number = text.AsSpan().TrimEnd("BKMGTi ");
        var unit = text.AsSpan(number.Length).Trim();
        var power = unit.IsEmpty ? 0 : Array.IndexOf(Units, unit.ToString());
        if (power < 0 || !decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var value)
            || value > long.MaxValue >> (10 * power) || (power == 0 && value != Math.Truncate(value)))
        {
            return false;
        }

        size = new ByteSize((long)(value * (1L << (10 * power))));
        return true;
    }

    /// <summary>The size with at most one decimal, in the largest unit of which there is at least one.</summary>
    public override string ToString()
    {
        var power = 0;
        var value = (double)Bytes;
        while (Math.Round(value, 1) >= 1024 && power < Units.Length - 1)
        {
            value /= 1024;
            power++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{value:0.#} {Units[power]}");
    }
}
