using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Storage;

namespace Peerd.Node.Swarm;

/// <summary>
/// Takes the frames of one content that arrive: those that agree with the owner's checksums and with what was hashed. Knows who sent what,
/// so that wrong bytes are blamed on nobody who was right. Thread-safe with the download's lock.
/// </summary>
/// <param name="services">What all downloads share.</param>
/// <param name="digest">The content.</param>
/// <param name="gate">The download's lock.</param>
internal sealed class ArrivingFrames(DownloadServices services, Digest digest, Lock gate)
{
    private readonly OwnerChecksums _checksums = new(services.Checksums);
    private readonly FrameSenders _senders = new();
    private CachedContent? _content;
    private bool _isAlone;

    /// <summary>What has been hashed of them.</summary>
    public OrderedHash Hash { get; } = new();

    /// <summary>Where a frame came from when this download brought it last; none when it did not.</summary>
    public ByteSource SourceOf(int frame) => _senders.SourceOf(frame);

    /// <summary>The size is known. Called under the lock, before any frame can come.</summary>
    public void Begin(CachedContent content)
    {
        _content = content;
        _senders.Begin(content.Layout.FrameCount);
    }

    /// <summary>An owner tells checksums. Called under the lock.</summary>
    public void Told(IEnumerable<PieceChecksums> checksums, string owner)
    {
        if (!_isAlone)
        {
            _checksums.Add(checksums, owner, _content!.Layout);
        }
    }

    /// <summary>From now on all comes from the origin of this node's clients: what others say of the content counts no more. Called under the lock.</summary>
    public void BeAlone()
    {
        _isAlone = true;
        _checksums.Clear();
    }

    /// <summary>The origin of this node's clients sends a frame that others say is another one. Called under the lock.</summary>
    public bool ContradictsOwner(int frame, ulong checksum) => _checksums.Contradict(frame, checksum, _content!.Layout);

    /// <summary>Nothing more is to come. Called under the lock.</summary>
    public void ForgetChecksums() => _checksums.Clear();

    /// <summary>Drops all that is here: what comes from now on may be other bytes. Called under the lock.</summary>
    public void DropAll()
    {
        _content!.DropAll();
        _senders.Forget();
        _checksums.Clear();
        Hash.Forget(_content.Layout.FrameCount);
    }

    /// <summary>The origin sends a frame that is stored next; false when it cannot be right.</summary>
    public bool TryExpectFromOrigin(int frame, ulong checksum)
    {
        if (!Hash.Allows(frame, checksum))
        {
            return false;
        }

        Mark(frame, ByteSource.Origin);
        return true;
    }

    /// <summary>A peer has begun to send.</summary>
    /// <param name="peer">Which.</param>
    /// <param name="resets">What <see cref="CachedContent.Resets"/> was when it was asked.</param>
    public void SentBy(string peer, int resets)
    {
        lock (gate)
        {
            if (_content!.Resets == resets)
            {
                _senders.Sent(peer);
            }
        }
    }

    /// <summary>Stores a frame that a peer sent, if it may be right.</summary>
    /// <param name="peer">Which.</param>
    /// <param name="frame">Its number.</param>
    /// <param name="data">Its bytes.</param>
    /// <param name="checksum">Of these bytes.</param>
    /// <param name="resets">What <see cref="CachedContent.Resets"/> was when the peer was asked.</param>
    public FrameArrival Take(string peer, int frame, ReadOnlySpan<byte> data, ulong checksum, int resets)
    {
        lock (gate)
        {
            if (_content!.Resets != resets)
            {
                // Asked for before all was dropped, it may be what was wrong: forgotten, and nobody's fault.
                return FrameArrival.Forgotten;
            }

            if (_checksums.Contradict(frame, checksum, _content.Layout) || !Hash.Allows(frame, checksum))
            {
                _senders.Refused(peer, frame, checksum);
                return FrameArrival.Refused;
            }
        }

        Mark(frame, ByteSource.Peer);
        return _content.TryWriteFrame(frame, data, checksum, resets) ? FrameArrival.Stored : FrameArrival.Forgotten;
    }

    /// <summary>The whole is right, so that it can be told who was: an owner, or who read from the origin first, may have told wrong checksums.</summary>
    /// <param name="right">The checksums of all frames.</param>
    public void PardonThoseWhoWereRight(ulong[] right)
    {
        lock (gate)
        {
            foreach (var peer in _senders.RefusedThoughRight(right))
            {
                services.Peers.Find(peer)?.Pardon(digest);
            }
        }
    }

    /// <summary>
    /// The whole does not match its digest. All of it came from one peer, if from one only: that may have been given them itself,
    /// and have passed them on before it knew.
    /// </summary>
    public void BlameOnlySender()
    {
        string? only;
        lock (gate)
        {
            only = _senders.OnlyOne(_content!.Layout.FrameCount);
        }

        if (only is not null && services.Peers.Find(only) is { } peer)
        {
            DownloadLog.PeerCorrupt(services.Logger, only, digest, "the whole does not match the digest, and nobody else sent any of it");
            peer.Blame(digest, isProven: false);
        }
    }

    /// <summary>No peer, and no other program, had a part in what is here.</summary>
    public bool AreAllFromOrigin
    {
        get
        {
            lock (gate)
            {
                return _senders.AreAllFromOrigin(_content!.Layout.FrameCount);
            }
        }
    }

    // Before the frame is there for readers, who ask at once where it is from.
    private void Mark(int frame, ByteSource source)
    {
        if (!_content!.HasFrame(frame))
        {
            _senders.Mark(frame, source);
        }
    }
}

/// <summary>What becomes of a frame that a peer sent.</summary>
internal enum FrameArrival
{
    Stored,

    /// <summary>It comes too late, and says nothing of the peer.</summary>
    Forgotten,

    /// <summary>It is not what others say.</summary>
    Refused,
}
