using System.Numerics;
using CsCheck;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class ContentLayoutTests
{
    private const long KiB = 1024;
    private const long MiB = 1024 * KiB;
    private const long GiB = 1024 * MiB;
    private const long TiB = 1024 * GiB;

    // Sizes of all magnitudes, and those just beside the powers of two where the layout changes.
    private static readonly Gen<long> GenSize = Gen.OneOf(
        Gen.Select(Gen.Int[0, 42], Gen.Long[0, long.MaxValue], (bits, value) => value & ((1L << bits) - 1)),
        Gen.Select(Gen.Int[0, 42], Gen.Int[-1, 1], (bits, beside) => Math.Max(0, (1L << bits) + beside)));

    [Theory]
    [InlineData(0, 64 * KiB, 64 * KiB, 64 * KiB)]
    [InlineData(1, 64 * KiB, 64 * KiB, 64 * KiB)]
    [InlineData(16 * MiB, 64 * KiB, 64 * KiB, 64 * KiB)]
    [InlineData(32 * MiB - 1, 64 * KiB, 64 * KiB, 64 * KiB)]
    [InlineData(32 * MiB, 64 * KiB, 128 * KiB, 128 * KiB)]
    [InlineData(64 * MiB - 1, 64 * KiB, 128 * KiB, 128 * KiB)]
    [InlineData(64 * MiB, 64 * KiB, 256 * KiB, 256 * KiB)]
    [InlineData(128 * MiB, 64 * KiB, 512 * KiB, 512 * KiB)]
    [InlineData(256 * MiB - 1, 64 * KiB, 512 * KiB, 512 * KiB)]
    [InlineData(256 * MiB, 64 * KiB, MiB, MiB)]
    [InlineData(512 * MiB - 1, 64 * KiB, MiB, MiB)]
    [InlineData(512 * MiB, 64 * KiB, MiB, 2 * MiB)]
    [InlineData(GiB, 64 * KiB, MiB, 4 * MiB)]
    [InlineData(4 * GiB - 1, 64 * KiB, MiB, 8 * MiB)]
    [InlineData(4 * GiB, 256 * KiB, MiB, 16 * MiB)]
    [InlineData(TiB, 256 * KiB, MiB, 16 * MiB)]
    public void ContentLayout_Size_HasTheBlocksOfTheDesign(long size, long frame, long piece, long segment)
    {
        var layout = new ContentLayout(size);

        Assert.Equal((frame, piece, segment), (layout.FrameSize, layout.PieceSize, layout.SegmentSize));
    }

    [Theory]
    [InlineData(0, 1)]
    [InlineData(128 * MiB - 1, 1)]
    [InlineData(128 * MiB, 2)]
    [InlineData(256 * MiB, 4)]
    [InlineData(4 * GiB - 1, 4)]
    [InlineData(4 * GiB, 1)]
    [InlineData(TiB, 1)]
    public void FramesPerMessage_Size_AreAQuarterOfASegmentOr256KiB(long size, int frames) => Assert.Equal(frames, new ContentLayout(size).FramesPerMessage);

    [Fact]
    public void ContentLayout_AnySize_FramesDividePiecesAndPiecesDivideSegments() =>
        GenSize.Sample(size =>
        {
            var layout = new ContentLayout(size);
            return BitOperations.IsPow2(layout.FrameSize) && BitOperations.IsPow2(layout.PieceSize) && BitOperations.IsPow2(layout.SegmentSize)
                && layout.PieceSize % layout.FrameSize == 0 && layout.SegmentSize % layout.PieceSize == 0
                && layout.FramesPerPiece * layout.FrameSize == layout.PieceSize
                && layout.PiecesPerSegment * layout.PieceSize == layout.SegmentSize
                && layout.SegmentSize <= 16 * MiB && layout.PieceSize is >= 64 * 1024 and <= 1024 * 1024;
        });

    [Fact]
    public void ContentLayout_AnySize_SegmentIsThePowerOfTwoAtOrBelowA256thAndPieceIsNoLonger() =>
        GenSize.Sample(size =>
        {
            var expected = 64 * KiB;
            while (expected < 16 * MiB && expected * 2 <= size / 256)
            {
                expected *= 2;
            }

            var layout = new ContentLayout(size);
            return layout.SegmentSize == expected && layout.PieceSize == Math.Min(expected, MiB);
        });

    /// <summary>Numbers of segments decide how many messages owners and requesters exchange.</summary>
    [Fact]
    public void ContentLayout_From16MiBTo4GiB_HasBetween256And512Segments() =>
        Gen.Long[16 * MiB, 4 * GiB].Sample(size => new ContentLayout(size).SegmentCount is >= 256 and <= 512);

    [Fact]
    public void ContentLayout_AnySize_BlocksCoverTheContentOnce() =>
        GenSize.Where(size => size < GiB).Sample(size =>
        {
            var layout = new ContentLayout(size);
            return Covers(size, layout.FrameCount, layout.Frame, layout.FrameSize)
                && Covers(size, layout.PieceCount, layout.Piece, layout.PieceSize)
                && Covers(size, layout.SegmentCount, layout.Segment, layout.SegmentSize);
        }, iter: 200);

    [Fact]
    public void ContentLayout_AnyOffset_IsInTheBlockThatIsTold() =>
        Gen.Select(GenSize.Where(size => size > 0), Gen.Double[0, 1]).Sample((size, part) =>
        {
            var layout = new ContentLayout(size);
            var offset = Math.Min(size - 1, (long)(size * part));
            var at = new ByteRange(offset, 1);
            var piece = layout.PieceAt(offset);
            return layout.Frame(layout.FrameAt(offset)).Contains(at) && layout.Piece(piece).Contains(at)
                && layout.FrameAt(offset) >= layout.FirstFrameOf(piece)
                && layout.FrameAt(offset) < layout.FirstFrameOf(piece) + layout.FramesIn(piece);
        });

    [Fact]
    public void FramesIn_AllPieces_AddUpToTheFrames() =>
        GenSize.Where(size => size < GiB).Sample(size =>
        {
            var layout = new ContentLayout(size);
            return Enumerable.Range(0, layout.PieceCount).Sum(layout.FramesIn) == layout.FrameCount;
        });

    private static bool Covers(long size, int count, Func<int, ByteRange> block, int blockSize)
    {
        var end = 0L;
        for (var i = 0; i < count; i++)
        {
            var range = block(i);
            if (range.Offset != end || range.IsEmpty || range.Length > blockSize || (range.Length < blockSize && i < count - 1))
            {
                return false;
            }

            end = range.End;
        }

        return end == size;
    }
}
