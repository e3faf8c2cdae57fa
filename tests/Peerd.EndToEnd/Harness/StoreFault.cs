namespace Peerd.EndToEnd.Harness;

/// <summary>How a <see cref="SignedStore"/> fails requests that it could answer. Public, for parameters of theories.</summary>
public enum StoreFault
{
    /// <summary>Sends nothing at all.</summary>
    Silent,

    /// <summary>Sends the headers and the beginning of the body, half of it at most, then nothing.</summary>
    StallBody,

    /// <summary>Ends the connection after the beginning of the body.</summary>
    CutBody,

    /// <summary>Resets the connection after the beginning of the body.</summary>
    ResetBody,
}
