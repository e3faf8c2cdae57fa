namespace Peerd.EndToEnd.Harness;

/// <summary>How a <see cref="SignedStore"/> fails requests that it could answer. Public, for parameters of theories.</summary>
public enum StoreFault
{
    /// <summary>Sends nothing at all.</summary>
    Silent,

    /// <summary>Sends the headers and half of the body, then nothing.</summary>
    StallBody,

    /// <summary>Ends the connection after half of the body.</summary>
    CutBody,

    /// <summary>Resets the connection after half of the body.</summary>
    ResetBody,
}
