namespace Peerd.Tests.Origin;

/// <summary>How a <see cref="FakeRegistry"/> misbehaves when it serves content. Public, for parameters of theories.</summary>
[Flags]
public enum FakeFault
{
    None = 0,

    /// <summary>Answers 200 with everything to a range.</summary>
    IgnoreRange = 1 << 0,

    /// <summary>The Content-Range begins one byte further than asked.</summary>
    WrongContentRange = 1 << 1,

    /// <summary>No Content-Range in a 206.</summary>
    NoContentRange = 1 << 2,

    /// <summary>A Content-Length one smaller than the Content-Range says.</summary>
    LyingContentLength = 1 << 3,

    /// <summary>Ends with FIN after half of the bytes.</summary>
    Truncate = 1 << 4,

    /// <summary>Ends with RST after half of the bytes.</summary>
    Reset = 1 << 5,

    /// <summary>Never sends headers.</summary>
    StallHeaders = 1 << 6,

    /// <summary>Sends headers and half of the bytes, then nothing.</summary>
    StallBody = 1 << 7,

    /// <summary>Flips a bit of the last byte of the content.</summary>
    WrongBytes = 1 << 8,

    /// <summary>No Content-Length: chunked.</summary>
    Chunked = 1 << 9,

    /// <summary>Answers 405 to HEAD.</summary>
    NoHead = 1 << 10,

    /// <summary>No Docker-Content-Digest.</summary>
    NoDigestHeader = 1 << 11,

    /// <summary>The Docker-Content-Digest of something else.</summary>
    WrongDigestHeader = 1 << 12,

    /// <summary>Claims Content-Encoding: gzip.</summary>
    Encoded = 1 << 13,

    /// <summary>Breaks the connection before headers.</summary>
    Drop = 1 << 14,

    /// <summary>A part that is not where the range is: total unknown (<c>bytes 0-9/*</c>).</summary>
    UnknownTotal = 1 << 15,

    /// <summary>Answers 401 without a challenge to HEAD, as one public registry does for blobs.</summary>
    HeadUnauthorized = 1 << 16,

    /// <summary>The end in the Content-Range is one behind what was asked for.</summary>
    TooLongContentRange = 1 << 17,

    /// <summary>The Content-Range tells a total of one byte too many.</summary>
    WrongTotal = 1 << 18,
}
