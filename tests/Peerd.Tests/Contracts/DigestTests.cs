using System.Security.Cryptography;
using CsCheck;
using Peerd.Contracts;

namespace Peerd.Tests.Contracts;

public sealed class DigestTests
{
    private const string Empty256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    [Fact]
    public void OfSha256_KnownContent_IsTheKnownDigest()
    {
        var digest = Digest.OfSha256([]);

        Assert.Equal($"sha256:{Empty256}", digest.ToString());
        Assert.Equal(("sha256", Empty256, false), (digest.Algorithm, digest.Hex, digest.IsEmpty));
    }

    [Fact]
    public void Parse_ToString_RoundTrips() =>
        Gen.Select(Gen.Byte.Array[32], Gen.Byte.Array[64]).Sample((sha256, sha512) =>
            RoundTrips(Digest.FromHash(HashAlgorithmName.SHA256, sha256), "sha256") && RoundTrips(Digest.FromHash(HashAlgorithmName.SHA512, sha512), "sha512"));

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("sha256:")]
    [InlineData(Empty256)]
    [InlineData("md5:d41d8cd98f00b204e9800998ecf8427e")]
    [InlineData("SHA256:" + Empty256)]
    [InlineData("sha512:" + Empty256)]
    [InlineData("sha256:" + Empty256 + "0")]
    [InlineData(" sha256:" + Empty256)]
    [InlineData("sha256:" + Empty256 + "\n")]
    [InlineData("sha256:E3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    [InlineData("sha256:g3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")]
    [InlineData("sha256:../../../../../../../../../../../../../../../../../../etc/passwd0")]
    public void TryParse_NoDigest_IsRefused(string? text)
    {
        Assert.False(Digest.TryParse(text, out var digest));
        Assert.True(digest.IsEmpty);
        Assert.Throws<FormatException>(() => Digest.Parse(text ?? string.Empty));
    }

    [Fact]
    public void Parse_HugeText_IsNotRepeatedInTheError() =>
        Assert.InRange(Assert.Throws<FormatException>(() => Digest.Parse(new string('x', 1_000_000))).Message.Length, 1, 300);

    [Theory]
    [InlineData("sha256")]
    [InlineData("sha512")]
    public void Within_AScope_IsAnotherNameOfBytesWithTheSameHash(string algorithm)
    {
        var digest = Digest.FromHash(algorithm == "sha256" ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA512, algorithm == "sha256" ? SHA256.HashData("content"u8) : SHA512.HashData("content"u8));

        var scoped = digest.Within("https://account.test:443");

        Assert.Equal((digest, digest, digest.Hex), (scoped.Unscoped, digest.Unscoped, scoped.Hex));
        Assert.Equal(scoped, digest.Within("https://account.test:443"));
        Assert.Equal(3, new HashSet<Digest> { digest, scoped, digest.Within("https://other.test:443") }.Count);
        Assert.Matches($"^{algorithm}[+][0-9a-f]{{32}}:{digest.Hex}$", scoped.ToString());
        Assert.True(Digest.TryParseScoped(scoped.ToString(), out var read) && read == scoped && read.Algorithm == scoped.Algorithm);
        Assert.True(Digest.TryParseScoped(digest.ToString(), out var plain) && plain == digest);
        using var hash = scoped.CreateHash();
        hash.AppendData("content"u8);
        Assert.True(scoped.Matches(hash));
        using var wrong = scoped.CreateHash();
        Assert.False(scoped.Matches(wrong));
    }

    [Theory]
    [InlineData("sha256+:" + Empty256)]
    [InlineData("sha256+0123456789abcdef0123456789abcde:" + Empty256)]
    [InlineData("sha256+0123456789abcdef0123456789abcdef0:" + Empty256)]
    [InlineData("sha256+0123456789abcdef0123456789abcdeF:" + Empty256)]
    [InlineData("sha256+../../../../../../../../../../../:" + Empty256)]
    [InlineData("sha256.0123456789abcdef0123456789abcdef:" + Empty256)]
    [InlineData("sha512+0123456789abcdef0123456789abcdef:" + Empty256)]
    [InlineData("sha256+0123456789abcdef0123456789abcdef:" + Empty256 + "0")]
    [InlineData("sha256+")]
    [InlineData("sha256")]
    [InlineData(null)]
    public void TryParseScoped_NoDigest_IsRefused(string? text)
    {
        Assert.False(Digest.TryParseScoped(text, out var digest));
        Assert.True(digest.IsEmpty);
    }

    [Fact]
    public void TryParse_AScopedDigest_IsRefused() =>
        Assert.False(Digest.TryParse(Digest.OfSha256([]).Within("x").ToString(), out _));

    [Theory]
    [InlineData("sha256")]
    [InlineData("sha512")]
    public void Matches_RightAndWrongContent_AreToldApart(string algorithm)
    {
        var digest = algorithm == "sha256" ? Digest.OfSha256("content"u8) : Digest.FromHash(HashAlgorithmName.SHA512, SHA512.HashData("content"u8));
        using var right = digest.CreateHash();
        right.AppendData("con"u8);
        right.AppendData("tent"u8);
        using var wrong = digest.CreateHash();
        wrong.AppendData("Content"u8);

        Assert.True(digest.Matches(right));
        Assert.False(digest.Matches(wrong));
    }

    [Fact]
    public void Equals_Default_IsOnlyItself()
    {
        Assert.Equal(default, default(Digest));
        Assert.NotEqual(default, Digest.OfSha256([]));
        Assert.Equal(string.Empty, default(Digest).ToString());
        Assert.Equal((string.Empty, string.Empty), (default(Digest).Algorithm, default(Digest).Hex));
    }

    private static bool RoundTrips(Digest digest, string algorithm) =>
        Digest.Parse(new string(digest.ToString())) is var parsed
        && parsed == digest && parsed.GetHashCode() == digest.GetHashCode() && parsed.Algorithm == algorithm
        && $"{parsed.Algorithm}:{parsed.Hex}" == digest.ToString();
}
