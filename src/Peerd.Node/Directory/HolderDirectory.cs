using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Threading.Channels;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;

namespace Peerd.Node.Directory;

/// <summary>Told whenever what a node holds of a content has changed; called outside any lock of the directory.</summary>
internal interface IHolderObserver
{
    void HolderChanged(Digest content, string node);

    /// <summary>A node had the whole content and it did not match its digest: what was told of it is not to be relied on.</summary>
    void Mismatched(Digest content);
}

/// <summary>What one node holds of a content.</summary>
/// <param name="Node">Name of the node.</param>
/// <param name="Complete">It holds the whole content.</param>
/// <param name="Pieces">The pieces that it holds; a copy.</param>
internal sealed record HeldPieces(string Node, bool Complete, PieceSet Pieces)
{
    /// <summary>It holds less than a piece: nothing that others could be sent for.</summary>
    public bool IsEmpty => !Complete && Pieces.Count == 0;
}

/// <summary>What the directory knows of a content.</summary>
/// <param name="Size">Bytes of the whole.</param>
/// <param name="MediaType">Media type; empty when unknown.</param>
/// <param name="Holders">Who holds what.</param>
/// <param name="StartupOrder">Pieces in the order in which a container needed them first; empty when unknown.</param>
internal sealed record ContentEntry(long Size, string MediaType, IReadOnlyList<HeldPieces> Holders, IReadOnlyList<uint> StartupOrder);

/// <summary>
/// This node's part of the directory: which nodes hold which pieces of the contents that it is responsible for. What a
/// node announced lives as long as the stream that announced it, and a short grace longer. Thread-safe.
/// </summary>
/// <param name="time">Clock.</param>
/// <param name="isMember">Whether a name is a member's. Names that are none share what one member may take; none: all are members.</param>
/// <param name="isAt">Whether the member with a name has an address; none: no address of any is known.</param>
internal sealed class HolderDirectory(TimeProvider time, Func<string, bool>? isMember = null, Func<string, IPAddress, bool>? isAt = null) : IAnnounceHandler
{
    /// <summary>How long entries outlive a broken stream: long enough to reconnect.</summary>
    public static readonly TimeSpan Grace = TimeSpan.FromSeconds(5);

    /// <summary>Largest content that can be announced: 1 TiB, so that nobody makes this node allocate without bound.</summary>
    public const long MaxSize = 1L << 40;

    /// <summary>What the entries of one node may take of memory: no node can make this one allocate without bound.</summary>
    private const long MaxNodeBytes = 64 << 20;

    /// <summary>Nodes of which it is not known that they are members.</summary>
    private const int MaxStrangers = 1024;

    /// <summary>A content is not discarded again sooner, and each time the pause doubles.</summary>
    public static readonly TimeSpan DiscardPause = TimeSpan.FromSeconds(10);

    /// <summary>Contents that one stream has to be told to discard.</summary>
    private const int MostDiscarded = 1024;

    /// <summary>Contents whose order of pieces is remembered: 64 MiB at most.</summary>
    private const int MostOrders = 4096;

    /// <summary>What an entry takes beside its set of pieces, roughly.</summary>
    private const int EntryBytes = 512;

    private readonly Lock _lock = new();
    private readonly Dictionary<Digest, Content> _contents = [];
    private readonly Dictionary<string, Node> _nodes = new(StringComparer.Ordinal);
    private readonly Queue<(Lease Lease, long BrokenAt)> _broken = new();
    private IHolderObserver[] _observers = [];
    private readonly DiscardPauses _pauses = new(time, DiscardPause);
    private long _bytes;
    private int _ordered;
    private int _strangers;
    private long _strangerBytes;

    /// <summary>
    /// What the entries of all nodes may take of memory. Three quarters go to who comes first, and of the last quarter each node has the same
    /// share, so that nobody is without room because others have announced much.
    /// </summary>
    public long MostBytes { get; init; } = 256L << 20;

    /// <summary>How many contents have a holder.</summary>
    public int Count
    {
        get
        {
            lock (_lock)
            {
                return _contents.Count;
            }
        }
    }

    /// <summary>What all entries take of memory, roughly.</summary>
    public long Bytes
    {
        get
        {
            lock (_lock)
            {
                return _nodes.Values.Sum(node => node.Bytes);
            }
        }
    }

    /// <summary>Entries that were looked at to find those that are to be forgotten: a test counts them.</summary>
    internal long Visited { get; private set; }

    /// <summary>Before anything is announced.</summary>
    public void Observe(IHolderObserver observer) => _observers = [.. _observers, observer];

    IAnnounceSession? IAnnounceHandler.Open(Contracts.V1.Member member, IPAddress? from) => OpenLease(member, from: from);

    /// <summary>
    /// Opens a lease for what this node will announce; null when another process has its name: a newer one, or, where nothing proves
    /// names, the one at the member's own address, which nobody elsewhere replaces.
    /// </summary>
    /// <param name="member">Who he says that he is.</param>
    /// <param name="isReport">Of a Lookup stream; else of an Announce stream.</param>
    /// <param name="from">Where he calls from, if nothing proves his name; null when something does, or when it is this node itself.</param>
    /// <param name="ended">Called when somebody at another address has taken the name over, outside any lock of the directory, and maybe before this returns.</param>
    public Lease? OpenLease(Contracts.V1.Member member, bool isReport = false, IPAddress? from = null, Action? ended = null)
    {
        var changed = new List<Digest>();
        List<Lease> replaced = [];
        Lease lease;
        lock (_lock)
        {
            if (!_nodes.TryGetValue(member.Node, out var node))
            {
                var isStranger = IsStranger(member.Node);
                if (isStranger && _strangers >= MaxStrangers)
                {
                    return null;
                }

                _strangers += isStranger ? 1 : 0;
                _nodes.Add(member.Node, node = new Node { IsStranger = isStranger, Process = new NodeProcess(member.Incarnation, from) });
            }

            if (Compare(member, from, node.Process) is var order && order < 0)
            {
                return null;
            }

            if (order > 0)
            {
                // The process that announced these entries is gone, or is not the node.
                RemoveEntries([.. node.Announcers, .. node.Reporters], changed);
                if (!Equals(node.Process.From, from))
                {
                    // Who is heard no more and does not know it would never announce again, and be told for as long as he says nothing.
                    replaced.AddRange(node.Process.Leases);
                }

                node.Process = new NodeProcess(member.Incarnation, from);
            }

            node.Leases++;
            lease = new Lease(this, member.Node, node.Process, ended) { IsReport = isReport };
            node.Process.Leases.Add(lease);
            if (!isReport)
            {
                node.Announcing = lease;
            }
        }

        replaced.ForEach(static other => other.End());
        Notify(member.Node, changed);
        return lease;
    }

    public bool TryFind(Digest content, [NotNullWhen(true)] out ContentEntry? entry)
    {
        lock (_lock)
        {
            entry = _contents.TryGetValue(content, out var found)
                ? new ContentEntry(found.Layout.Size, found.MediaType, [.. found.Holders.Select(pair => Describe(pair.Key, pair.Value))], found.StartupOrder)
                : null;
            return entry is not null;
        }
    }

    /// <summary>Size and media type (empty when unknown) of a content, and one node that holds something of it; null when none does. It takes as long for many holders as for one.</summary>
    public (long Size, string MediaType, string Node)? SizeOf(Digest content)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) ? (found.Layout.Size, found.MediaType, found.Holders.First().Key) : null;
        }
    }

    /// <summary>Pieces in the order in which a container needed them first; empty when unknown.</summary>
    public IReadOnlyList<uint> StartupOrderOf(Digest content)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) ? found.StartupOrder : [];
        }
    }

    /// <summary>What this node holds of the content; null when nothing.</summary>
    public HeldPieces? Find(Digest content, string node)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) && found.Holders.TryGetValue(node, out var held) ? Describe(node, held) : null;
        }
    }

    /// <summary>Size and media type of a content that the node holds as a whole; null when it does not.</summary>
    public (long Size, string MediaType)? FindComplete(Digest content, string node)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) && found.Holders.TryGetValue(node, out var held) && held.Complete ? (found.Layout.Size, found.MediaType) : null;
        }
    }

    /// <summary>One of these nodes that holds the whole of a content; null when none does.</summary>
    public string? FirstComplete(Digest content, Predicate<string> isWanted)
    {
        lock (_lock)
        {
            return _contents.TryGetValue(content, out var found) ? found.Holders.FirstOrDefault(holder => holder.Value.Complete && isWanted(holder.Key)).Key : null;
        }
    }

    /// <summary>Forgets the entries of leases that broke longer than <see cref="Grace"/> ago, and has discarded once more what is due.</summary>
    public void Sweep()
    {
        var changes = new List<(string Node, List<Digest> Contents)>();
        lock (_lock)
        {
            var now = time.GetTimestamp();
            while (_broken.TryPeek(out var first) && time.GetElapsedTime(first.BrokenAt, now) >= Grace)
            {
                var lease = _broken.Dequeue().Lease;
                var changed = new List<Digest>();
                RemoveEntries([lease], changed);
                changes.Add((lease.Name, changed));
                lease.Process.Leases.Remove(lease);
                if (_nodes.TryGetValue(lease.Name, out var node) && --node.Leases == 0)
                {
                    _strangers -= node.IsStranger ? 1 : 0;
                    _nodes.Remove(lease.Name);
                }
            }
        }

        foreach (var (node, contents) in changes)
        {
            Notify(node, contents);
        }

        foreach (var digest in _pauses.Open)
        {
            DiscardAgain(digest);
        }
    }

    // More than 0: the caller takes the name over from the process that has it. Less: that one keeps it. 0: he is that process.
    private int Compare(Contracts.V1.Member member, IPAddress? from, NodeProcess process)
    {
        var (standing, standingOfProcess) = (StandingOf(member.Node, from), StandingOf(member.Node, process.From));

        // A process without streams keeps its name from nobody by where it was.
        standingOfProcess = process.Leases.Count > 0 ? standingOfProcess : Math.Min(standingOfProcess, standing);
        return standing != standingOfProcess ? standing.CompareTo(standingOfProcess) : member.Incarnation.CompareTo(process.Incarnation);
    }

    // How sure it is that a caller is the node. Looked up each time, for members move, and are not known at the start.
    private int StandingOf(string node, IPAddress? from) => from is null ? 2 : isAt?.Invoke(node, from) == true ? 1 : 0;

    private static HeldPieces Describe(string node, Held held) => new(node, held.Complete, held.Pieces.Clone());

    private bool Apply(Lease lease, AnnounceRequest request)
    {
        var changed = new List<Digest>();
        lock (_lock)
        {
            if (!IsCurrent(lease))
            {
                return false;
            }

            foreach (var withdrawn in request.Withdrawn)
            {
                if (Digest.TryParseScoped(withdrawn, out var digest))
                {
                    RemoveEntry(digest, lease.Name, changed);
                }
            }

            foreach (var availability in request.Contents)
            {
                if (Digest.TryParseScoped(availability.Digest, out var digest) && Add(lease, digest, availability.Size, availability.MediaType) is { } held)
                {
                    if (availability.Replace)
                    {
                        held.Pieces.Clear();
                        held.Complete = false;
                    }

                    if (availability.Complete)
                    {
                        held.Pieces.Fill();
                        held.Complete = true;
                    }
                    else
                    {
                        held.Pieces.AddRuns(availability.Pieces);
                    }

                    LearnOrder(digest, availability.StartupOrder);
                    changed.Add(digest);
                }
            }

            if (request.Synchronized)
            {
                RemoveEntries([.. _nodes[lease.Name].Announcers.Where(other => other != lease)], changed);
            }
        }

        Notify(lease.Name, changed);
        foreach (var mismatched in request.Mismatched)
        {
            if (Digest.TryParseScoped(mismatched, out var digest))
            {
                Mismatched(lease, digest);
            }
        }

        return true;
    }

    /// <summary>Whoever holds a part of the content may hold the wrong part: it is to drop that, and nobody is sent to it meanwhile.</summary>
    private void Mismatched(Lease finder, Digest digest)
    {
        List<string> suspects;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out var content))
            {
                return;
            }

            // Nobody can make the others fetch a content again and again. What only the finder holds is nothing to the others.
            if (content.Holders.Keys.Any(node => node != finder.Name) && !_pauses.TryBegin(digest, staysOpen: !IsAnyComplete(content)))
            {
                return;
            }

            suspects = Discard(digest, content, finder.Name);
        }

        Doubted(digest, suspects);
    }

    /// <summary>
    /// When a content was found wrong, nobody had it whole and checked, so that who dropped it may have read the same at the same origin
    /// again, and have passed it on. Now somebody has it, and they get it there.
    /// </summary>
    private void DiscardAgain(Digest digest)
    {
        List<string> suspects;
        lock (_lock)
        {
            if (!_contents.TryGetValue(digest, out var content) || !IsAnyComplete(content) || !_pauses.TryBegin(digest))
            {
                return;
            }

            suspects = Discard(digest, content, finder: null);
        }

        Doubted(digest, suspects);
    }

    // Under the lock. Those who hold a part, of which nothing is known any more.
    private List<string> Discard(Digest digest, Content content, string? finder)
    {
        foreach (var node in content.Holders.Keys)
        {
            // Who has it whole looks again, if it is not its own bytes that it serves.
            if (node != finder)
            {
                _nodes[node].Announcing?.Discard(digest);
            }
        }

        List<string> suspects = [.. content.Holders.Where(static holder => !holder.Value.Complete).Select(static holder => holder.Key)];
        suspects.ForEach(node => RemoveEntry(digest, node, []));
        return suspects;
    }

    private void Doubted(Digest digest, List<string> suspects)
    {
        foreach (var observer in _observers)
        {
            observer.Mismatched(digest);
        }

        suspects.ForEach(node => Notify(node, [digest]));
    }

    private static bool IsAnyComplete(Content content) => content.Holders.Values.Any(static held => held.Complete);

    private void Add(Lease lease, Digest digest, long size, string mediaType, IReadOnlyCollection<PieceRun> pieces)
    {
        lock (_lock)
        {
            if (!IsCurrent(lease) || Add(lease, digest, size, mediaType) is not { } held)
            {
                return;
            }

            held.Pieces.AddRuns(pieces);
        }

        Notify(lease.Name, [digest]);
    }

    /// <summary>The entry of the lease's node, a new one if need be; null when there may be none.</summary>
    private Held? Add(Lease lease, Digest digest, long size, string mediaType)
    {
        if (size is < 0 or > MaxSize)
        {
            return null;
        }

        if (!_contents.TryGetValue(digest, out var content))
        {
            content = new Content(new ContentLayout(size));
        }

        if (content.Layout.Size != size)
        {
            // One of them is wrong; the first one stays until its holders are gone.
            return null;
        }

        // Who tells the type first has it counted, as long as he holds the content.
        var told = content.MediaType.Length == 0 ? ContentMediaType.Of(mediaType) ?? string.Empty : string.Empty;
        var typeBytes = sizeof(char) * told.Length;
        if (!content.Holders.TryGetValue(lease.Name, out var held))
        {
            var node = _nodes[lease.Name];
            var bytes = EntryBytes + (content.Layout.PieceCount / 8) + typeBytes;
            if (node.IsStranger && !IsStranger(lease.Name))
            {
                // It is a member by now.
                node.IsStranger = false;
                _strangers--;
                _strangerBytes -= node.Bytes;
            }

            if (!HasRoom(node, bytes))
            {
                return null;
            }

            _bytes += bytes;
            node.Bytes += bytes;
            _strangerBytes += node.IsStranger ? bytes : 0;
            content.MediaType = typeBytes > 0 ? told : content.MediaType;
            content.Holders.Add(lease.Name, held = new Held(new PieceSet(content.Layout.PieceCount), lease, bytes));
            TakeOver(digest, held, lease);
            _contents.TryAdd(digest, content);
        }
        else if (typeBytes > 0 && _nodes[lease.Name] is var node && HasRoom(node, typeBytes))
        {
            _bytes += typeBytes;
            node.Bytes += typeBytes;
            _strangerBytes += node.IsStranger ? typeBytes : 0;
            held.Bytes += typeBytes;
            content.MediaType = told;
        }

        if (!lease.IsReport && held.Lease != lease)
        {
            GiveUp(digest, held);
            TakeOver(digest, held, lease);
        }

        return held;
    }

    // Names that are no members have together what one member has.
    private bool HasRoom(Node node, int bytes)
    {
        var own = (node.IsStranger ? _strangerBytes : node.Bytes) + bytes;
        var nodes = _nodes.Count - _strangers + (_strangers > 0 ? 1 : 0);
        var all = _bytes + bytes;
        return own <= MaxNodeBytes && (all <= MostBytes - (MostBytes / 4) || (all <= MostBytes && own <= MostBytes / 4 / nodes));
    }

    private void TakeOver(Digest digest, Held held, Lease lease)
    {
        held.Lease = lease;
        lease.Entries.Add(digest);
        _nodes[lease.Name].Keepers(lease.IsReport).Add(lease);
    }

    private void GiveUp(Digest digest, Held held)
    {
        held.Lease.Entries.Remove(digest);
        if (held.Lease.Entries.Count == 0 && _nodes.TryGetValue(held.Lease.Name, out var node))
        {
            node.Keepers(held.Lease.IsReport).Remove(held.Lease);
        }
    }

    // What the first one has seen, and behind it what others have seen besides: it only grows, because readers are told it bit by
    // bit. It counts for nobody's share of memory, which is why there are not so many.
    private void LearnOrder(Digest digest, IReadOnlyList<uint> order)
    {
        var content = _contents[digest];
        var known = content.StartupOrder;
        if (order.Count == 0 || known.Count >= ProtocolConstants.MaxStartupOrder || (known.Count == 0 && _ordered >= MostOrders))
        {
            return;
        }

        var right = order.Take(ProtocolConstants.MaxStartupOrder).Where(piece => piece < content.Layout.PieceCount);
        uint[] all = [.. known.Union(right).Take(ProtocolConstants.MaxStartupOrder)];
        if (all.Length > known.Count)
        {
            _ordered += known.Count == 0 ? 1 : 0;
            content.StartupOrder = all;
        }
    }

    private void Leave(Lease lease)
    {
        var changed = new List<Digest>();
        lock (_lock)
        {
            RemoveEntries([lease], changed);
        }

        Notify(lease.Name, changed);
    }

    private void Close(Lease lease)
    {
        lock (_lock)
        {
            _broken.Enqueue((lease, time.GetTimestamp()));
        }
    }

    private bool IsOutdated(Lease lease)
    {
        lock (_lock)
        {
            return _nodes.TryGetValue(lease.Name, out var node) && node.Process != lease.Process;
        }
    }

    /// <summary>What arrives late on a former stream must not take entries from the stream that has replaced it.</summary>
    private bool IsCurrent(Lease lease) =>
        _nodes.TryGetValue(lease.Name, out var node) && node.Process == lease.Process && (lease.IsReport || ReferenceEquals(node.Announcing, lease));

    // Only what they keep is looked at, and all of that goes: whoever opens and ends streams all the time has nobody wait for it.
    private void RemoveEntries(List<Lease> leases, List<Digest> changed)
    {
        foreach (var lease in leases)
        {
            foreach (var digest in lease.Entries.ToList())
            {
                Visited++;
                RemoveEntry(digest, lease.Name, changed);
            }
        }
    }

    private void RemoveEntry(Digest digest, string node, List<Digest> changed)
    {
        if (_contents.TryGetValue(digest, out var content) && content.Holders.Remove(node, out var held))
        {
            changed.Add(digest);
            GiveUp(digest, held);
            _bytes -= held.Bytes;
            if (_nodes.TryGetValue(node, out var announcer))
            {
                announcer.Bytes -= held.Bytes;
                _strangerBytes -= announcer.IsStranger ? held.Bytes : 0;
            }

            if (content.Holders.Count == 0)
            {
                _ordered -= content.StartupOrder.Count > 0 ? 1 : 0;
                _contents.Remove(digest);
            }
        }
    }

    /// <summary>The name is not known as a member's.</summary>
    public bool IsStranger(string node) => isMember is not null && !isMember(node);

    private void Notify(string node, List<Digest> changed)
    {
        foreach (var digest in changed)
        {
            foreach (var observer in _observers)
            {
                observer.HolderChanged(digest, node);
            }
        }
    }

    /// <summary>
    /// Keeps what one stream announced. A lease of an Announce stream takes over entries that it announces; a report
    /// lease (of a Lookup stream) only adds pieces, and keeps entries that no Announce stream has taken over.
    /// </summary>
    internal sealed class Lease(HolderDirectory directory, string name, NodeProcess process, Action? ended) : IAnnounceSession
    {
        private readonly Channel<Digest> _discards = Channel.CreateBounded<Digest>(new BoundedChannelOptions(MostDiscarded) { FullMode = BoundedChannelFullMode.DropOldest });
        private Action? _ended = ended;
        private int _closed;

        public string Name { get; } = name;

        /// <summary>Whose stream it is.</summary>
        public NodeProcess Process { get; } = process;

        public bool IsReport { get; init; }

        /// <summary>Entries that live as long as it does; the lock of the directory protects them.</summary>
        internal HashSet<Digest> Entries { get; } = [];

        /// <summary>Another process of the node has taken the place of the one that opened it.</summary>
        public bool IsOutdated => directory.IsOutdated(this);

        public bool Apply(AnnounceRequest request) => directory.Apply(this, request);

        /// <summary>What <see cref="Apply"/> does with a message that adds these pieces, without the message.</summary>
        public void Add(Digest content, long size, string mediaType, IReadOnlyCollection<PieceRun> pieces) => directory.Add(this, content, size, mediaType, pieces);

        public ValueTask<Digest> NextDiscardAsync(CancellationToken cancellationToken) => _discards.Reader.ReadAsync(cancellationToken);

        /// <summary>The node is to drop what it holds of the content in part.</summary>
        public void Discard(Digest content) => _discards.Writer.TryWrite(content);

        public void Leave() => directory.Leave(this);

        /// <summary>Somebody at another address has the name: the stream is to end.</summary>
        public void End()
        {
            if (_discards.Writer.TryComplete())
            {
                _ended?.Invoke();
            }
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _closed, 1) == 0)
            {
                // Who is kept for the grace keeps nothing else.
                _ended = null;
                directory.Close(this);
            }
        }
    }

    private sealed class Node
    {
        /// <summary>The process that has the name.</summary>
        public required NodeProcess Process { get; set; }

        public int Leases { get; set; }

        public long Bytes { get; set; }

        public bool IsStranger { get; set; }

        /// <summary>Leases of Announce streams that keep entries.</summary>
        public HashSet<Lease> Announcers { get; } = [];

        /// <summary>Leases of Lookup streams that keep entries.</summary>
        public HashSet<Lease> Reporters { get; } = [];

        public HashSet<Lease> Keepers(bool areReports) => areReports ? Reporters : Announcers;

        /// <summary>The newest Announce stream.</summary>
        public Lease? Announcing { get; set; }
    }

    private sealed class Content(ContentLayout layout)
    {
        public ContentLayout Layout { get; } = layout;

        public string MediaType { get; set; } = string.Empty;

        public IReadOnlyList<uint> StartupOrder { get; set; } = [];

        public Dictionary<string, Held> Holders { get; } = new(StringComparer.Ordinal);
    }

    private sealed class Held(PieceSet pieces, Lease lease, long bytes)
    {
        /// <summary>What it counts for of the node's share of memory.</summary>
        public long Bytes { get; set; } = bytes;

        public PieceSet Pieces { get; } = pieces;

        public bool Complete { get; set; }

        public Lease Lease { get; set; } = lease;
    }
}
