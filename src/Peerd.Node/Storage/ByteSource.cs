namespace Peerd.Node.Storage;

/// <summary>Where bytes that a client gets were from, as seen by this node; the nearest first.</summary>
internal enum ByteSource
{
    /// <summary>No bytes of a content, or none yet.</summary>
    None,

    /// <summary>The piece cache: they were here.</summary>
    Cache,

    /// <summary>containerd's store: they were here.</summary>
    Containerd,

    /// <summary>Another node.</summary>
    Peer,

    /// <summary>The registry or its store.</summary>
    Origin,
}
