using System.Globalization;

namespace Peerd.Contracts;

/// <summary>An amount of bytes as people write it: <c>10GiB</c>, <c>512MiB</c>, <c>64KiB</c>, <c>1GB</c>, <c>1.5GiB</c> or plain bytes.</summary>
/// <param name="Bytes">The amount, 0 or more.</param>
public readonly record struct ByteSize(long Bytes)
{
    /// <summary>What <see cref="TryParse"/> takes, for messages about settings.</summary>
    public const string Expected = "a size such as 512MiB, 10GiB or 1000000 (bytes; units B, KiB, MiB, GiB, TiB, KB, MB, GB, TB)";

    private static readonly (string Suffix, long Factor)[] Units =
    [
        ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40),
        ("Ki", 1L << 10), ("Mi", 1L << 20), ("Gi", 1L << 30), ("Ti", 1L << 40),
        ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
        ("B", 1),
    ];

    /// <summary>Reads a size; upper and lower case are the same. Negative and too large ones are refused.</summary>
    public static bool TryParse(string? text, out ByteSize size)
    {
        size = default;
        var number = (text ?? string.Empty).AsSpan().Trim();
        var factor = 1L;
        foreach (var unit in Units)
        {
            if (number.EndsWith(unit.Suffix, StringComparison.OrdinalIgnoreCase))
            {
                number = number[..^unit.Suffix.Length].TrimEnd();
                factor = unit.Factor;
                break;
            }
        }

        if (!decimal.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var amount) || amount > long.MaxValue / factor)
        {
            return false;
        }

        size = new ByteSize((long)(amount * factor));
        return true;
    }

    /// <summary>The size in the largest binary unit that keeps it whole, for example <c>20GiB</c>.</summary>
    public override string ToString()
    {
        var power = 0;
        var amount = Bytes;
        while (power < 4 && amount >= 1024 && amount % 1024 == 0)
        {
            amount /= 1024;
            power++;
        }

        return amount.ToString(CultureInfo.InvariantCulture) + power switch { 0 => "B", 1 => "KiB", 2 => "MiB", 3 => "GiB", _ => "TiB" };
    }

    /// <summary>For people: at most one decimal, in the largest binary unit of which there is at least one, for example <c>1.5 GiB</c>.</summary>
    public string ToRoundedText()
    {
        string[] units = ["B", "KiB", "MiB", "GiB", "TiB"];
        var power = 0;
        var amount = (double)Bytes;
        while (Math.Round(amount, 1) >= 1024 && power < units.Length - 1)
        {
            amount /= 1024;
            power++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"{amount:0.#} {units[power]}");
    }
}
