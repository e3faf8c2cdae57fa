using System.Net;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Node.Origin;
using static Peerd.Tests.Origin.OriginSetup;

namespace Peerd.Tests.Origin;

public sealed class NotFoundMemoryTests
{
    private static readonly OriginReference Unknown = Blob(Digest.OfSha256([1]));
    private readonly FakeTimeProvider _time = new();

    [Theory]
    [InlineData(404)]
    [InlineData(410)]
    public void Find_NotedAMomentAgo_IsTheSameStatus(int status)
    {
        var memory = NewMemory();
        memory.Note(Unknown, HttpMethod.Get, (HttpStatusCode)status);
        _time.Advance(TimeSpan.FromSeconds(5) - TimeSpan.FromTicks(1));

        var known = memory.Find(Unknown, HttpMethod.Get);

        Assert.Equal(((HttpStatusCode)status, UnaskedReason.NotFound, false), (known?.Status, known?.Unasked, known?.IsPassing));
        _time.Advance(TimeSpan.FromTicks(1));
        Assert.Null(memory.Find(Unknown, HttpMethod.Get));
    }

    [Theory]
    [InlineData(200)]
    [InlineData(401)]
    [InlineData(403)]
    [InlineData(429)]
    [InlineData(500)]
    [InlineData(0)]
    public void Note_AnotherStatus_IsNotRemembered(int status)
    {
        var memory = NewMemory();

        memory.Note(Unknown, HttpMethod.Get, (HttpStatusCode)status);

        Assert.Null(memory.Find(Unknown, HttpMethod.Get));
    }

    [Fact]
    public void Find_SomethingElse_IsNothing()
    {
        var memory = NewMemory();
        memory.Note(Unknown, HttpMethod.Get, HttpStatusCode.NotFound);

        Assert.All(
            [
                Unknown with { Registry = "another.test" },
                Unknown with { Repository = "team/another" },
                Unknown with { Kind = OriginKind.Manifest },
                Unknown with { Reference = Digest.OfSha256([2]).ToString() },
            ],
            another => Assert.Null(memory.Find(another, HttpMethod.Get)));
    }

    [Fact]
    public void Note_Tag_IsNotRemembered()
    {
        var memory = NewMemory();

        memory.Note(Manifest("v1"), HttpMethod.Get, HttpStatusCode.NotFound);

        Assert.Null(memory.Find(Manifest("v1"), HttpMethod.Get));
    }

    [Fact]
    public void Find_AnswerToHead_IsGoodForHeadOnly()
    {
        var memory = NewMemory();
        memory.Note(Unknown, HttpMethod.Head, HttpStatusCode.NotFound);
        Assert.NotNull(memory.Find(Unknown, HttpMethod.Head));
        Assert.Null(memory.Find(Unknown, HttpMethod.Get));

        var other = NewMemory();
        other.Note(Unknown, HttpMethod.Get, HttpStatusCode.NotFound);
        Assert.NotNull(other.Find(Unknown, HttpMethod.Head));
    }

    [Fact]
    public void Note_TurnedOff_RemembersNothing()
    {
        var memory = new NotFoundMemory(TimeSpan.Zero, _time);

        memory.Note(Unknown, HttpMethod.Get, HttpStatusCode.NotFound);

        Assert.Null(memory.Find(Unknown, HttpMethod.Get));
    }

    [Fact]
    public void Note_MoreThanItHolds_DropsSome()
    {
        var memory = NewMemory();
        var all = Enumerable.Range(0, NotFoundMemory.MaxEntries * 2).Select(i => Blob(Digest.OfSha256(BitConverter.GetBytes(i)))).ToList();

        all.ForEach(reference => memory.Note(reference, HttpMethod.Get, HttpStatusCode.NotFound));

        Assert.InRange(all.Count(reference => memory.Find(reference, HttpMethod.Get) is not null), 1, NotFoundMemory.MaxEntries);
    }

    private NotFoundMemory NewMemory() => new(TimeSpan.FromSeconds(5), _time);
}
