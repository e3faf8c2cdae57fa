using CsCheck;
using Peerd.Contracts;
using Peerd.Node.Storage;

namespace Peerd.Tests.Storage;

public sealed class IndexFormatTests
{
    private static readonly Gen<IndexHeader> Headers =
        from size in Gen.Long[0, PieceCache.MaxContentSize]
        from isLong in Gen.Bool
        from mediaType in Gen.String[Gen.Char['!', '~'], 1, 255].Null()
        from isVerified in Gen.Bool
        select new IndexHeader(
            isLong ? Digest.Parse("sha512:" + new string('a', 128)) : Digest.OfSha256(BitConverter.GetBytes(size)),
            size,
            mediaType,
            isVerified);

    [Fact]
    public void Header_WrittenAndRead_IsTheSame() => Headers.Sample(header =>
    {
        var bytes = new byte[IndexFormat.HeaderSize];
        IndexFormat.WriteHeader(bytes, header);
        Assert.True(IndexFormat.TryReadHeader(bytes, out var read));
        Assert.Equal(header, read);
    });

    [Fact]
    [Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
    public void Header_AnyBitFlipped_IsRefused() => Gen.Select(Headers, Gen.Int[0, (IndexFormat.HeaderSize * 8) - 1]).Sample((header, bit) =>
    {
        var bytes = new byte[IndexFormat.HeaderSize];
        IndexFormat.WriteHeader(bytes, header);
        bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        Assert.False(IndexFormat.TryReadHeader(bytes, out _));
    });

    [Fact]
    public void Header_MediaTypeTooLong_IsLeftOut()
    {
        var bytes = new byte[IndexFormat.HeaderSize];
        IndexFormat.WriteHeader(bytes, new IndexHeader(Digest.OfSha256([]), 1, new string('x', 5000), IsVerified: true));
        Assert.True(IndexFormat.TryReadHeader(bytes, out var read));
        Assert.Null(read.MediaType);
        Assert.True(read.IsVerified);
    }

    [Fact]
    public void Record_OtherPieceOrContentOrFlippedBit_IsRefused() => Gen.Select(Gen.ULong.Array[1, 16], Gen.ULong, Gen.Int[0, 1 << 20], Gen.Int[0, (17 * 64) - 1]).Sample((checksums, salt, piece, bit) =>
    {
        var record = new byte[(checksums.Length + 1) * 8];
        var read = new ulong[checksums.Length];
        Assert.False(IndexFormat.TryReadRecord(record, salt, piece, read));
        IndexFormat.WriteRecord(record, salt, piece, checksums);
        Assert.True(IndexFormat.TryReadRecord(record, salt, piece, read));
        Assert.Equal(checksums, read);
        Assert.False(IndexFormat.TryReadRecord(record, salt, piece + 1, read));
        Assert.False(IndexFormat.TryReadRecord(record, salt ^ (1UL << 40), piece, read));
        bit %= record.Length * 8;
        record[bit / 8] ^= (byte)(1 << (bit % 8));
        Assert.False(IndexFormat.TryReadRecord(record, salt, piece, read));
    });
}
