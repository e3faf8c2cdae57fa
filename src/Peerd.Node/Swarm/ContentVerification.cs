using System.Net;
using Peerd.Node.Storage;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Swarm;

/// <summary>What comes of a verification is told to this.</summary>
internal interface IContentVerificationUser
{
    /// <summary>The content is right. Called without the download's lock.</summary>
    void Verified();

    /// <summary>The content will never be here as a whole. Called with the download's lock or without it.</summary>
    void GiveUp();
}

/// <summary>
/// Hashes one content in order as it arrives. At the end it is known to be right; if it is not, it is dropped and brought once more.
/// Thread-safe with the download's lock.
/// </summary>
internal sealed class ContentVerification(DownloadParts parts, CachedContent content, DownloadDriver driver, IContentVerificationUser user) : IOrderedHashUser
{
    /// <summary>How long hashing waits for a slow reader, so that it does not push what the reader needs out of memory.</summary>
    private static readonly TimeSpan ReaderPatience = TimeSpan.FromSeconds(5);

    /// <summary>Why a content is not brought here any more.</summary>
    public static readonly SourceFailure Mismatch = new(HttpStatusCode.BadGateway, "what the origin sent does not match the digest");

    private int _mismatches;
    private bool _isAfresh;
    private bool _hasStartedAfresh;

    /// <summary>Runs until the content is right, or given up.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!content.IsVerified)
        {
            using (var hash = content.Digest.CreateHash())
            {
                ulong[] hashed;
                try
                {
                    hashed = await parts.Frames.Hash.RunAsync(content, hash, this, cancellationToken);
                }
                catch (FrameLostException e)
                {
                    // Only a content that was removed from the cache fails who waits for it.
                    lock (parts.Gate)
                    {
                        parts.Outage.Explain(parts.Outage.Failure ?? new SourceFailure(HttpStatusCode.ServiceUnavailable, e.Message));
                    }

                    user.GiveUp();
                    return;
                }

                lock (parts.Gate)
                {
                    if (_isAfresh)
                    {
                        // Of what was hashed some has been replaced meanwhile: hashing begins again, and needs all of it.
                        _isAfresh = false;
                        parts.Frames.Hash.Rewind();
                        driver.DemandsChanged();
                        continue;
                    }

                    if (content.Digest.Matches(hash))
                    {
                        content.MarkVerified();
                        parts.Frames.PardonThoseWhoWereRight(hashed);
                        break;
                    }
                }
            }

            parts.Services.Failures.Add(WrongBytes.Content);
            parts.Frames.BlameOnlySender();
            var isOriginsFault = parts.Frames.AreAllFromOrigin;
            DownloadLog.DigestMismatch(parts.Services.Logger, content.Digest);
            lock (parts.Gate)
            {
                driver.DropAll();
                parts.Services.Mismatches.Add(content.Digest);

                // After the first peers were not believed any more: the second time it is the origin's fault, too.
                if ((++_mismatches > 1 || isOriginsFault) && parts.Services.Quarantine.Mismatched(content.Digest, isAgain: _mismatches > 1))
                {
                    DownloadLog.Quarantined(parts.Services.Logger, content.Digest, Quarantine.Memory);
                    parts.Outage.Explain(Mismatch);
                    user.GiveUp();
                    driver.CancelAll();
                    return;
                }

                parts.Frames.BeAlone();
                driver.Machine.StartOver(parts.Now);
                // Hashing begins again, too, and needs all of it.
                driver.DemandsChanged();
            }
        }

        parts.Services.Quarantine.Matched(content.Digest);
        parts.Services.Contradicted.Remove(content.Digest);
        user.Verified();
        parts.Movement.Move();
    }

    /// <summary>
    /// The origin of this node's clients sends other bytes than who read it first has told. Who is wrong shows only when the content is
    /// whole. If that may never be, what is here is forgotten, and for a while, later downloads included, all comes from that origin, as it
    /// would without the mesh: bytes of both are never mixed. Called under the lock.
    /// </summary>
    /// <param name="wantsWhole">Some client wants all of it.</param>
    public void OriginContradicts(bool wantsWhole)
    {
        if (content.IsVerified)
        {
            return;
        }

        parts.Services.Failures.Add(WrongBytes.Origin);
        if (wantsWhole || parts.Readers.NeedWhole)
        {
            // The digest tells soon. Who makes up a checksum must not have all of it read at the origin by everybody.
            return;
        }

        DownloadLog.Contradicted(parts.Services.Logger, content.Digest);
        parts.Services.Contradicted.Set(content.Digest, static _ => true);
        parts.Frames.BeAlone();
        _isAfresh = true;
        driver.DropAll();
        driver.Machine.StartOver(parts.Now);
        driver.DemandsChanged();
    }

    /// <summary>Another node has found wrong bytes of the content: what is here is forgotten and fetched again, once. Called under the lock.</summary>
    /// <param name="wantsWhole">Some client wants all of it.</param>
    public void StartAfresh(bool wantsWhole)
    {
        if (content.IsVerified || (_hasStartedAfresh && (wantsWhole || parts.Readers.NeedWhole)))
        {
            // What is right is. The rest is compared with the digest here, and who says so again and again would keep it from ever being whole.
            return;
        }

        _hasStartedAfresh = true;
        DownloadLog.Discarded(parts.Services.Logger, content.Digest);
        _isAfresh = true;
        driver.DropAll();
        driver.Machine.StartOver(parts.Now, isTrusting: true);
        driver.DemandsChanged();
    }

    ValueTask IOrderedHashUser.WaitForFrameAsync(int frame, CancellationToken cancellationToken) => driver.WaitForFrameAsync(frame, cancellationToken);

    void IOrderedHashUser.FrameLost(int frame)
    {
        lock (parts.Gate)
        {
            driver.FrameLost(frame);
        }
    }

    async ValueTask IOrderedHashUser.HashedAsync(int frames, CancellationToken cancellationToken)
    {
        // Always: a reader that waits for it may have begun to wait while the disk took no writes.
        parts.Movement.Move();
        if (content.KeepsInMemory && frames % content.Layout.FramesPerPiece == 0)
        {
            lock (parts.Gate)
            {
                driver.DemandsChanged();
            }

            parts.Movement.Move();
            await WaitForReadersAsync(frames / content.Layout.FramesPerPiece, cancellationToken);
        }
    }

    /// <summary>In memory what was read gives way first: hashing must not read far ahead of who reads in order.</summary>
    private async Task WaitForReadersAsync(int piece, CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(ReaderPatience, parts.Services.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken, patience.Token);
        while (!either.IsCancellationRequested)
        {
            var moved = parts.Movement.NextAsync;
            lock (parts.Gate)
            {
                if (!parts.Readers.IsAnyBehind(piece - Math.Max(1, driver.LongestInMemory / 2)))
                {
                    return;
                }
            }

            await moved.WaitAsync(either.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        cancellationToken.ThrowIfCancellationRequested();
    }
}
