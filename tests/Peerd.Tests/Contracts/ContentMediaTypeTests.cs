using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class ContentMediaTypeTests
{
    public static TheoryData<string> Useless =>
    [
        "", " ", "/", "a/", "/b", "text", "text/html/x", " text/html", "text/html ", "text/html; charset=utf-8", "text/html\r\nX-Evil: 1", "text/html\n",
        "text/\u0131", "a\0/b", "text/ht,ml", ".a/b", "a/-b", "a/!", "application/octet-stream", "Application/Octet-Stream", "multipart/byteranges", "MULTIPART/mixed",
        $"a/{new string('b', 128)}", $"{new string('a', 128)}/b", new string('a', 4 << 20),
    ];

    [Theory]
    [InlineData("application/vnd.oci.image.layer.v1.tar+gzip")]
    [InlineData("application/x-tar")]
    [InlineData("text/plain")]
    [InlineData("a/b")]
    [InlineData("0/b!#$&^_.+-")]
    public void Of_TypeAndSubtype_IsKept(string told) => Assert.Equal(told, ContentMediaType.Of(told));

    [Fact]
    public void Of_LongestType_IsKept()
    {
        var longest = $"{new string('a', 127)}/{new string('b', 127)}";

        Assert.Equal((ContentMediaType.MaxLength, longest), (longest.Length, ContentMediaType.Of(longest)));
    }

    [Theory]
    [MemberData(nameof(Useless))]
    public void Of_WhatSaysNothingOrIsNoType_IsNull(string told) => Assert.Null(ContentMediaType.Of(told));
}
