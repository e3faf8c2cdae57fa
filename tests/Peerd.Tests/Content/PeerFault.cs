namespace Peerd.Tests.Content;

/// <summary>How a peer that says it holds a content misbehaves when it is asked for ranges. Public, for parameters of theories.</summary>
public enum PeerFault
{
    /// <summary>Does what it should.</summary>
    None,

    /// <summary>A byte of a frame is flipped; the checksum is that of the right bytes.</summary>
    CorruptBytes,

    /// <summary>A byte of a frame is flipped and the checksum matches; the owner knows the right one.</summary>
    ForgedFrame,

    /// <summary>A frame behind the end of the range.</summary>
    FrameBeyondRange,

    /// <summary>A frame is left out.</summary>
    SkippedFrame,

    /// <summary>The same frame twice.</summary>
    RepeatedFrame,

    /// <summary>A frame lacks its last byte.</summary>
    ShortFrame,

    /// <summary>A frame has a byte too many.</summary>
    LongFrame,

    /// <summary>The content has another size.</summary>
    WrongSize,

    /// <summary>Answers carry the id of another range.</summary>
    OtherId,

    /// <summary>The range is said to be complete after its first frame.</summary>
    EarlyEnd,

    /// <summary>Nothing after the head.</summary>
    Stall,

    /// <summary>Nothing after the first frame.</summary>
    StallMidRange,

    /// <summary>The stream is reset after the first frame.</summary>
    Vanish,

    /// <summary>A message larger than any frame.</summary>
    HugeMessage,

    /// <summary>The range ends without a status.</summary>
    NoStatus,

    /// <summary>Busy, always.</summary>
    Busy,

    /// <summary>Has nothing of what it announced.</summary>
    NotHeld,

    /// <summary>Refuses connections.</summary>
    Refuse,
}
