namespace Peerd.Node.Limits;

/// <summary>Who goes first where a limit binds, the first before the last.</summary>
internal enum Urgency
{
    /// <summary>A container waits for the bytes right now.</summary>
    Streaming,

    /// <summary>An image is being pulled.</summary>
    Pull,

    /// <summary>Somebody may need the bytes later.</summary>
    Ahead,
}
