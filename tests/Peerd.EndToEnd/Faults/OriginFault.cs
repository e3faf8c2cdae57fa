namespace Peerd.EndToEnd.Faults;

/// <summary>How a <see cref="FaultOrigin"/> fails. Public, for parameters of theories.</summary>
public enum OriginFault
{
    /// <summary>It does not.</summary>
    None,

    /// <summary>Takes requests and never answers.</summary>
    Silent,

    /// <summary>Sends the beginning of a body, then nothing.</summary>
    StallBody,

    /// <summary>Ends the connection in the middle of a body.</summary>
    CutBody,

    /// <summary>Resets the connection in the middle of a body.</summary>
    ResetBody,

    /// <summary>Resets the connection instead of an answer.</summary>
    ResetRequest,

    /// <summary>Sends other bytes, as many as are right.</summary>
    Lie,

    /// <summary>Answers 429 and asks for a pause of a second.</summary>
    RateLimit,

    /// <summary>Answers 503.</summary>
    Unavailable,

    /// <summary>Nobody listens.</summary>
    Down,
}
