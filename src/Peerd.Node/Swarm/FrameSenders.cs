using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// Where the frames of one content came from, and which peers sent some, so that wrong bytes are blamed on who sent them, and on nobody
/// else. Sources can be marked and asked for by any thread; the download's lock protects the rest.
/// </summary>
internal sealed class FrameSenders
{
    /// <summary>Peers that sent what is here, since it was empty.</summary>
    private readonly HashSet<string> _peers = new(StringComparer.Ordinal);

    /// <summary>What peers sent first that did not agree with what is known from others: a frame, and its checksum.</summary>
    private readonly Dictionary<string, (int Frame, ulong Checksum)> _refused = new(StringComparer.Ordinal);

    // By frame, as ByteSource.
    private byte[] _sources = [];

    /// <summary>The size is known: so many frames may come.</summary>
    public void Begin(int frameCount) => Volatile.Write(ref _sources, new byte[frameCount]);

    /// <summary>Where a frame came from when this download brought it last; none when it did not.</summary>
    public ByteSource SourceOf(int frame) => Volatile.Read(ref _sources) is var sources && frame < sources.Length ? (ByteSource)Volatile.Read(ref sources[frame]) : ByteSource.None;

    /// <summary>To be called before the frame is there for readers, who ask at once where it is from.</summary>
    public void Mark(int frame, ByteSource source) => Volatile.Write(ref _sources[frame], (byte)source);

    /// <summary>A peer has sent something.</summary>
    public void Sent(string peer) => _peers.Add(peer);

    /// <summary>What a peer sent was refused, because others say otherwise.</summary>
    public void Refused(string peer, int frame, ulong checksum) => _refused.TryAdd(peer, (frame, checksum));

    /// <summary>The one peer from which all frames came; null when there are several, or when some came from elsewhere.</summary>
    public string? OnlyOne(int frameCount) =>
        _peers.Count == 1 && Enumerable.Range(0, frameCount).All(frame => SourceOf(frame) == ByteSource.Peer) ? _peers.First() : null;

    /// <summary>All frames came from the origin.</summary>
    public bool AreAllFromOrigin(int frameCount) => Enumerable.Range(0, frameCount).All(frame => SourceOf(frame) == ByteSource.Origin);

    /// <summary>Peers that were refused although they were right, as the checksums of the whole content tell.</summary>
    public IEnumerable<string> RefusedThoughRight(ulong[] right) => _refused.Where(refused => right[refused.Value.Frame] == refused.Value.Checksum).Select(static refused => refused.Key);

    /// <summary>Nothing of what they sent is here any more.</summary>
    public void Forget() => _peers.Clear();
}
