using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;

namespace Peerd.Contracts;

/// <summary>
/// Name of a content: algorithm and lower-case hexadecimal hash, written <c>sha256:…</c> or <c>sha512:…</c>
/// (OCI image specification, section "Digests"). A value of this type is always well-formed, except
/// <c>default</c>, which names nothing.
/// </summary>
public readonly record struct Digest
{
    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    private readonly string? _text;
    private readonly int _separator;

    private Digest(string text, int separator)
    {
        _text = text;
        _separator = separator;
    }

    /// <summary><c>sha256</c> or <c>sha512</c>.</summary>
    public string Algorithm => _text?[.._separator] ?? string.Empty;

    /// <summary>The hash in lower-case hexadecimal digits.</summary>
    public string Hex => _text?[(_separator + 1)..] ?? string.Empty;

    /// <summary>True for <c>default</c>.</summary>
    public bool IsEmpty => _text is null;

    /// <summary>Reads a digest. Upper-case digits, unknown algorithms and wrong lengths are refused.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out Digest digest)
    {
        digest = default;
        if (text is null)
        {
            return false;
        }

        var (separator, length) = text.StartsWith("sha256:", StringComparison.Ordinal) ? (6, 64)
            : text.StartsWith("sha512:", StringComparison.Ordinal) ? (6, 128)
            : (0, 0);
        if (length == 0 || text.Length != separator + 1 + length || text.AsSpan(separator + 1).ContainsAnyExcept(LowerHex))
        {
            return false;
        }

        digest = new Digest(text, separator);
        return true;
    }

    /// <summary>Reads a digest.</summary>
    /// <exception cref="FormatException">The text is no digest.</exception>
    public static Digest Parse(string text) =>
        TryParse(text, out var digest) ? digest : throw new FormatException($"'{(text.Length > 160 ? text[..160] : text)}' is not a digest; expected sha256:<64 lower-case hex digits>");

    /// <summary>The sha256 digest of these bytes.</summary>
    public static Digest OfSha256(ReadOnlySpan<byte> content) => FromHash(HashAlgorithmName.SHA256, SHA256.HashData(content));

    /// <summary>The digest that a finished hash stands for.</summary>
    public static Digest FromHash(HashAlgorithmName algorithm, ReadOnlySpan<byte> hash) =>
        Parse((algorithm == HashAlgorithmName.SHA512 ? "sha512:" : "sha256:") + Convert.ToHexStringLower(hash));

    /// <summary>A new hash of the digest's algorithm, to be fed with the content.</summary>
    public IncrementalHash CreateHash() =>
        IncrementalHash.CreateHash(Algorithm == "sha512" ? HashAlgorithmName.SHA512 : HashAlgorithmName.SHA256);

    /// <summary>True when the hash, which is finished by this call, is the one that the digest names.</summary>
    public bool Matches(IncrementalHash hash) => FromHash(hash.AlgorithmName, hash.GetHashAndReset()) == this;

    /// <inheritdoc />
    public bool Equals(Digest other) => string.Equals(_text, other._text, StringComparison.Ordinal);

    /// <inheritdoc />
    public override int GetHashCode() => _text is null ? 0 : string.GetHashCode(_text, StringComparison.Ordinal);

    /// <summary>The digest as it is written, for example <c>sha256:9f86…</c>.</summary>
    public override string ToString() => _text ?? string.Empty;
}
