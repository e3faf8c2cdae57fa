using System.Diagnostics.Metrics;
using Peerd.Contracts;
using Peerd.Node.Storage;
using Peerd.Node.Swarm;

namespace Peerd.Node.Content;

/// <summary>Counts the bytes of contents that clients got, by source. Thread-safe.</summary>
internal sealed class ServedBytes
{
    public const string Name = "peerd.served";

    private static readonly ByteSource[] Sources = [ByteSource.Cache, ByteSource.Containerd, ByteSource.Peer, ByteSource.Origin];

    private readonly long[] _bytes = new long[(int)ByteSource.Origin + 1];

    public ServedBytes(IMeterFactory meters) => meters.Create("Peerd").CreateObservableCounter(
        Name,
        () => Sources.Select(source => new Measurement<long>(Of(source), new KeyValuePair<string, object?>("source", LabelOf(source)))),
        "By",
        "Content bytes sent to clients of this node, by where they were from");

    /// <summary>Bytes of a source that clients got so far.</summary>
    public long Of(ByteSource source) => Interlocked.Read(ref _bytes[(int)source]);

    /// <summary>The value of the label <c>source</c>.</summary>
    public static string LabelOf(ByteSource source) => source switch
    {
        ByteSource.Cache => "cache",
        ByteSource.Containerd => "containerd",
        ByteSource.Peer => "peer",
        ByteSource.Origin => "origin",
        _ => "none",
    };

    /// <summary>Bytes go out that are from one source.</summary>
    public void Add(ByteSource source, long bytes) => Interlocked.Add(ref _bytes[(int)source], bytes);

    /// <summary>Bytes of a content go out.</summary>
    /// <param name="content">The content.</param>
    /// <param name="bytes">Which bytes; they are here.</param>
    /// <param name="download">Tells what it brought; null when they were here.</param>
    /// <returns>The furthest of their sources.</returns>
    public ByteSource Add(CachedContent content, ByteRange bytes, Download? download)
    {
        var furthest = ByteSource.None;
        for (var offset = bytes.Offset; offset < bytes.End;)
        {
            var frame = content.Layout.FrameAt(offset);
            var end = Math.Min(bytes.End, content.Layout.Frame(frame).End);
            var source = download?.SourceOf(frame) is { } brought and not ByteSource.None ? brought
                : content.IsFrameExternal(frame) ? ByteSource.Containerd
                : ByteSource.Cache;
            Add(source, end - offset);
            furthest = source > furthest ? source : furthest;
            offset = end;
        }

        return furthest;
    }
}
