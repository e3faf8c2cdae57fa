using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Swarm;

namespace Peerd.Tests.Swarm;

public sealed class OwnerChecksumsTests
{
    // Two frames a piece.
    private static readonly ContentLayout Layout = new(32L << 20);

    private readonly ChecksumBudget _budget = new();
    private readonly OwnerChecksums _checksums;

    public OwnerChecksumsTests() => _checksums = new OwnerChecksums(_budget);

    [Fact]
    public void Contradict_FrameOfAToldPiece_OnlyAnotherChecksum()
    {
        _checksums.Add([Told(1, 12, 13)], "owner", Layout);

        Assert.Equal((false, true), (_checksums.Contradict(3, 13, Layout), _checksums.Contradict(3, 12, Layout)));
        Assert.False(_checksums.Contradict(4, 12, Layout));
    }

    [Fact]
    public void Add_PieceThatIsKnown_TheFirstWordCounts()
    {
        _checksums.Add([Told(1, 12, 13), Told(1, 14, 15)], "owner", Layout);

        Assert.False(_checksums.Contradict(2, 12, Layout));
    }

    [Theory]
    [InlineData(256u, 2)]
    [InlineData(1u, 1)]
    [InlineData(1u, 3)]
    public void Add_WhatTheContentDoesNotHave_IsNotKept(uint piece, int frames)
    {
        _checksums.Add([Told(piece, [.. Enumerable.Repeat(1UL, frames)])], "owner", Layout);

        Assert.Equal(0, _budget.Bytes);
    }

    [Fact]
    public void Clear_KeptOnes_TheirRoomIsGivenBack()
    {
        _checksums.Add([Told(1, 12, 13)], "owner", Layout);
        Assert.Equal(ChecksumBudget.BytesOf(2), _budget.Bytes);

        _checksums.Clear();

        Assert.Equal(0, _budget.Bytes);
        Assert.False(_checksums.Contradict(2, 1, Layout));
    }

    private static PieceChecksums Told(uint piece, params ulong[] frames) => new() { Piece = piece, Frames = { frames } };
}
