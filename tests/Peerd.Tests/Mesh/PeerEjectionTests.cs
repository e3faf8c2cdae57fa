using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Mesh;

namespace Peerd.Tests.Mesh;

public sealed class PeerEjectionTests
{
    private static readonly Digest Content = Digest.OfSha256([1]);

    private readonly FakeTimeProvider _time = new();
    private readonly PeerEjection _ejection;

    public PeerEjectionTests() => _ejection = new PeerEjection(_time);

    [Fact]
    public void Corrupt_Proven_IsLeftAloneForATimeThatDoubles()
    {
        Assert.True(_ejection.Corrupt(Content, isProven: true));
        Assert.True(_ejection.IsEjected);
        Assert.False(_ejection.Corrupt(Content, isProven: true));
        _time.Advance(PeerEjection.First);
        Assert.False(_ejection.IsEjected);

        Assert.True(_ejection.Corrupt(Content, isProven: true));
        _time.Advance(PeerEjection.First);
        Assert.True(_ejection.IsEjected);
        _time.Advance(PeerEjection.First);
        Assert.False(_ejection.IsEjected);
    }

    [Fact]
    public void Corrupt_AgainAndAgain_IsNeverLeftAloneForLongerThanTheLongest()
    {
        for (var i = 0; i < 20; i++)
        {
            Assert.True(_ejection.Corrupt(Content, isProven: true));
            _time.Advance(PeerEjection.Longest);
            Assert.False(_ejection.IsEjected);
        }
    }

    // It may be the owner of the content who lies.
    [Fact]
    public void Corrupt_ContradictsOthersOfOneContent_IsStillAsked()
    {
        for (var i = 0; i < 100; i++)
        {
            Assert.False(_ejection.Corrupt(Content, isProven: false));
        }

        Assert.False(_ejection.IsEjected);
    }

    [Fact]
    public void Corrupt_ContradictsOthersOfSeveralContents_IsLeftAlone()
    {
        for (byte i = 1; i < PeerEjection.ContradictedContents; i++)
        {
            Assert.False(_ejection.Corrupt(Digest.OfSha256([i]), isProven: false));
        }

        Assert.True(_ejection.Corrupt(Digest.OfSha256([99]), isProven: false));
        Assert.True(_ejection.IsEjected);
    }

    [Fact]
    public void Pardon_ItWasRightAboutOneOfThem_IsAskedAgainAtOnce()
    {
        Contradict(1, 2, 3);
        Assert.True(_ejection.IsEjected);
        _ejection.Pardon(Digest.OfSha256([2]));
        Assert.False(_ejection.IsEjected);

        // The others count still, and it begins with the shortest time.
        Contradict(4);
        Assert.True(_ejection.IsEjected);
        _time.Advance(PeerEjection.First);
        Assert.False(_ejection.IsEjected);
    }

    [Fact]
    public void Pardon_ForgivenMeanwhile_TheNextTimeIsNotShorterThanTheFirst()
    {
        Contradict(1, 2, 3);
        _time.Advance(TimeSpan.FromHours(1));
        Contradict(4);
        _ejection.Pardon(Digest.OfSha256([1]));
        Assert.True(_ejection.Corrupt(Content, isProven: true));

        _time.Advance(PeerEjection.First - TimeSpan.FromSeconds(1));

        Assert.True(_ejection.IsEjected);
    }

    // Ranges were under way while the content was checked.
    [Fact]
    public void Corrupt_OnlyAfterItWasPardoned_DoesNotCount()
    {
        for (byte i = 1; i < 200; i++)
        {
            _ejection.Pardon(Digest.OfSha256([i]));
            Contradict(i);
            Assert.False(_ejection.IsEjected);
        }

        _ejection.Pardon(Content);
        Assert.True(_ejection.Corrupt(Content, isProven: true));
    }

    [Fact]
    public void Pardon_WhatDoesNotCount_ChangesNothing()
    {
        Contradict(1, 2);
        _ejection.Pardon(Digest.OfSha256([9]));
        _ejection.Pardon(Digest.OfSha256([1]));
        Contradict(3);
        Assert.False(_ejection.IsEjected);
        Contradict(4);
        Assert.True(_ejection.IsEjected);

        // What its own checksums prove nobody takes back.
        _time.Advance(PeerEjection.First);
        Assert.True(_ejection.Corrupt(Content, isProven: true));
        _ejection.Pardon(Content);
        Assert.True(_ejection.IsEjected);
    }

    [Fact]
    public void Corrupt_ContradictsOthersNowAndThen_IsStillAsked()
    {
        for (byte i = 1; i < 20; i++)
        {
            Assert.False(_ejection.Corrupt(Digest.OfSha256([i]), isProven: false));
            _time.Advance(TimeSpan.FromMinutes(16));
        }
    }

    private void Contradict(params byte[] contents) => Array.ForEach(contents, content => _ejection.Corrupt(Digest.OfSha256([content]), isProven: false));
}
