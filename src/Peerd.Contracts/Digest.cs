using System.Buffers;
using System.Diagnostics.CodeAnalysis;
using System.Security.Cryptography;
using System.Text;

namespace Peerd.Contracts;

/// <summary>
/// Name of a content: algorithm and lower-case hexadecimal hash, written <c>sha256:…</c> or <c>sha512:…</c>
/// (OCI image specification, section "Digests"). A value of this type is always well-formed, except
/// <c>default</c>, which names nothing.
/// <para>
/// Where anybody can put bytes under any digest, a digest is believed within one account only. Such a content is another
/// than the one of the digest alone, and has a name of its own, <c>sha256+&lt;scope&gt;:…</c>, which the grammar of digests
/// allows and no registry knows. Its bytes have the same hash.
/// </para>
/// </summary>
public readonly record struct Digest
{
    private const int AlgorithmLength = 6;
    private const int ScopeLength = 32;

    private static readonly SearchValues<char> LowerHex = SearchValues.Create("0123456789abcdef");

    private readonly string? _text;
    private readonly int _separator;

    private Digest(string text, int separator)
    {
        _text = text;
        _separator = separator;
    }

    /// <summary><c>sha256</c> or <c>sha512</c>, with <c>+</c> and the scope when there is one.</summary>
    public string Algorithm => _text?[.._separator] ?? string.Empty;

    /// <summary>The hash in lower-case hexadecimal digits.</summary>
    public string Hex => _text?[(_separator + 1)..] ?? string.Empty;

    /// <summary>The digest alone, without a scope.</summary>
    public Digest Unscoped => _separator > AlgorithmLength ? Parse($"{_text![..AlgorithmLength]}:{Hex}") : this;

    /// <summary>True for <c>default</c>.</summary>
    public bool IsEmpty => _text is null;

    /// <summary>Reads a digest. Upper-case digits, unknown algorithms and wrong lengths are refused.</summary>
    public static bool TryParse([NotNullWhen(true)] string? text, out Digest digest) => TryParse(text, scope: 0, out digest);

    /// <summary>Reads a digest with or without a scope, as nodes tell them each other.</summary>
    public static bool TryParseScoped([NotNullWhen(true)] string? text, out Digest digest) =>
        text is { Length: > AlgorithmLength } && text[AlgorithmLength] == '+' ? TryParse(text, 1 + ScopeLength, out digest) : TryParse(text, out digest);

    /// <summary>Reads a digest.</summary>
    /// <exception cref="FormatException">The text is no digest.</exception>
    public static Digest Parse(string text) =>
        TryParse(text, out var digest) ? digest : throw new FormatException($"'{(text.Length > 160 ? text[..160] : text)}' is not a digest; expected sha256:<64 lower-case hex digits>");

    /// <summary>The sha256 digest of these bytes.</summary>
    public static Digest OfSha256(ReadOnlySpan<byte> content) => FromHash(HashAlgorithmName.SHA256, SHA256.HashData(content));

    /// <summary>The digest that a finished hash stands for.</summary>
    public static Digest FromHash(HashAlgorithmName algorithm, ReadOnlySpan<byte> hash) =>
        Parse((algorithm == HashAlgorithmName.SHA512 ? "sha512:" : "sha256:") + Convert.ToHexStringLower(hash));

    /// <summary>The name of what has this digest within a scope.</summary>
    /// <param name="scope">Within what the digest is believed, for example the address of a store's account; of it only a hash is in the name.</param>
    public Digest Within(string scope)
    {
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(scope)).AsSpan(0, ScopeLength / 2));
        var name = $"{_text![..AlgorithmLength]}+{hash}";
        return new Digest($"{name}:{Hex}", name.Length);
    }

    /// <summary>A new hash of the digest's algorithm, to be fed with the content.</summary>
    public IncrementalHash CreateHash() =>
        IncrementalHash.CreateHash(_text?.StartsWith("sha512", StringComparison.Ordinal) == true ? HashAlgorithmName.SHA512 : HashAlgorithmName.SHA256);

    /// <summary>True when the hash, which is finished by this call, is the one that the digest names.</summary>
    public bool Matches(IncrementalHash hash) => FromHash(hash.AlgorithmName, hash.GetHashAndReset()) == Unscoped;

    /// <inheritdoc />
    public bool Equals(Digest other) => string.Equals(_text, other._text, StringComparison.Ordinal);

    /// <inheritdoc />
    public override int GetHashCode() => _text is null ? 0 : string.GetHashCode(_text, StringComparison.Ordinal);

    /// <summary>The digest as it is written, for example <c>sha256:9f86…</c>.</summary>
    public override string ToString() => _text ?? string.Empty;

    private static bool TryParse(string? text, int scope, out Digest digest)
    {
        digest = default;
        var separator = AlgorithmLength + scope;
        var length = text is null ? 0 : text.StartsWith("sha256", StringComparison.Ordinal) ? 64 : text.StartsWith("sha512", StringComparison.Ordinal) ? 128 : 0;
        if (length == 0
            || text!.Length != separator + 1 + length
            || text[separator] != ':'
            || text.AsSpan(separator + 1).ContainsAnyExcept(LowerHex)
            || (scope > 0 && text.AsSpan(AlgorithmLength + 1, ScopeLength).ContainsAnyExcept(LowerHex)))
        {
            return false;
        }

        digest = new Digest(text, separator);
        return true;
    }
}
