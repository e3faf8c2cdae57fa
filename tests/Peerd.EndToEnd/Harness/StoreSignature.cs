using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.RegularExpressions;

namespace Peerd.EndToEnd.Harness;

/// <summary>
/// Signs paths as blob stores do: an HMAC of path and expiry in the query, which is good for exactly these bytes of the
/// request line. Each signature is another one. Thread-safe.
/// </summary>
internal sealed partial class StoreSignature(TimeProvider time)
{
    private const string TimeFormat = "yyyy-MM-ddTHH:mm:ss.fffZ";

    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
    private int _number;

    /// <summary>Path and query that may be asked for until then.</summary>
    public string Sign(string path, TimeSpan lifetime)
    {
        var expiry = Uri.EscapeDataString((time.GetUtcNow() + lifetime).ToString(TimeFormat, CultureInfo.InvariantCulture));
        while (true)
        {
            // Every signature has the characters that careless clients change.
            var target = Compose(path, expiry, $"{Interlocked.Increment(ref _number)}");
            if (target.Contains("%2B", StringComparison.Ordinal) && target.Contains("%2F", StringComparison.Ordinal))
            {
                return target;
            }
        }
    }

    /// <summary>True when this is, byte for byte, what was signed, and its time is not over.</summary>
    public bool IsValid(string target)
    {
        var match = Target().Match(target);
        return match.Success
            && target == Compose(match.Groups["path"].Value, match.Groups["expiry"].Value, match.Groups["number"].Value)
            && DateTimeOffset.TryParseExact(
                Uri.UnescapeDataString(match.Groups["expiry"].Value), TimeFormat, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out var expiry)
            && time.GetUtcNow() < expiry;
    }

    // The tilde is escaped although it needs not be, the second escape has a lower-case digit.
    private string Compose(string path, string expiry, string number)
    {
        var signature = HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{path}\n{expiry}\n{number}"));
        return $"{path}?se={expiry}&sig={TestOutput.SecretMarker}Signature{Uri.EscapeDataString(Convert.ToBase64String(signature))}&sp=r&sv=%7E{number}%2d";
    }

    [GeneratedRegex("^(?<path>[^?]*)\\?se=(?<expiry>[^&]*)&sig=[^&]*&sp=r&sv=%7E(?<number>[0-9]+)%2d$", RegexOptions.ExplicitCapture, 1000)]
    private static partial Regex Target();
}
