using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace Peerd.Node.Origin;

/// <summary>Tells secrets apart without keeping them: a keyed hash whose key lives as long as the process.</summary>
internal static class SecretFingerprint
{
    private static readonly byte[] Key = RandomNumberGenerator.GetBytes(32);

    /// <summary>The fingerprint of some texts in this order; null is another text than the empty one.</summary>
    public static UInt128 Of(params ReadOnlySpan<string?> texts)
    {
        using var hash = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, Key);
        Span<byte> length = stackalloc byte[sizeof(int)];
        foreach (var text in texts)
        {
            BinaryPrimitives.WriteInt32LittleEndian(length, text?.Length ?? -1);
            hash.AppendData(length);
            hash.AppendData(Encoding.UTF8.GetBytes(text ?? string.Empty));
        }

        Span<byte> result = stackalloc byte[SHA256.HashSizeInBytes];
        hash.GetHashAndReset(result);
        return BinaryPrimitives.ReadUInt128LittleEndian(result);
    }
}
