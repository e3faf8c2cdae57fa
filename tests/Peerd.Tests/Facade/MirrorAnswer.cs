using System.Globalization;
using Peerd.Contracts;

namespace Peerd.Tests.Facade;

/// <summary>What the head of every good answer has.</summary>
internal static class MirrorAnswer
{
    /// <summary>The head of a blob, or of a part of it with this length.</summary>
    public static void AssertBlobHead(RawAnswer answer, Digest digest, int length, string? mediaType = null)
    {
        AssertType(answer, mediaType);
        Assert.Equal(length.ToString(CultureInfo.InvariantCulture), answer.Header("Content-Length"));
        Assert.Equal(digest.ToString(), answer.Header("Docker-Content-Digest"));
        Assert.Equal($"\"{digest}\"", answer.Header("ETag"));
        Assert.Equal("bytes", answer.Header("Accept-Ranges"));
        Assert.Null(answer.Header("Content-Encoding"));
    }

    /// <summary>What was told of the bytes is passed on, and nothing that a browser could run.</summary>
    public static void AssertType(RawAnswer answer, string? mediaType) =>
        Assert.Equal(
            (mediaType ?? "application/octet-stream", mediaType is null ? null : "nosniff", mediaType is null ? null : "sandbox"),
            (answer.Header("Content-Type"), answer.Header("X-Content-Type-Options"), answer.Header("Content-Security-Policy")));

    /// <summary>The head of a manifest; its body is up to the caller.</summary>
    public static void AssertManifest(RawAnswer answer, byte[] bytes, Digest digest, string mediaType) =>
        Assert.Equal(
            (200, mediaType, bytes.Length.ToString(CultureInfo.InvariantCulture), digest.ToString(), null),
            (answer.Status, answer.Header("Content-Type"), answer.Header("Content-Length"), answer.Header("Docker-Content-Digest"), answer.Header("Content-Encoding")));
}
