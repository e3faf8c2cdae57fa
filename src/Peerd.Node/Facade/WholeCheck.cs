using System.Security.Cryptography;
using Peerd.Contracts;

namespace Peerd.Node.Facade;

/// <summary>Compares a content with its digest while it is sent, in order. For one request; <see cref="Count"/> is safe for others to look at.</summary>
/// <param name="digest">What it must be.</param>
/// <param name="size">How many bytes it has.</param>
internal sealed class WholeCheck(Digest digest, long size) : IDisposable
{
    private readonly IncrementalHash _hash = digest.CreateHash();
    private long _count;

    /// <summary>Bytes so far.</summary>
    public long Count => Volatile.Read(ref _count);

    /// <summary>All of it came, and it is another content. Of no bytes that is known before any comes.</summary>
    public bool IsWrong { get; private set; } = size == 0 && !IsOfNothing(digest);

    /// <summary>The next bytes are these. False when they are the last and the whole is wrong: they must not be sent.</summary>
    public bool Add(ReadOnlySpan<byte> bytes)
    {
        _hash.AppendData(bytes);
        Volatile.Write(ref _count, _count + bytes.Length);
        IsWrong = _count == size && !digest.Matches(_hash);
        return !IsWrong;
    }

    public void Dispose() => _hash.Dispose();

    private static bool IsOfNothing(Digest digest)
    {
        using var hash = digest.CreateHash();
        return digest.Matches(hash);
    }
}
