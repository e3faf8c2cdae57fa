using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Mesh;
using Peerd.Node.Swarm;

namespace Peerd.Benchmarks.Owner;

/// <summary>
/// One requester as its owner sees it: does what it is told, as a download would, but no byte moves; pieces "arrive" when
/// the time is up that they would take. Thread-safe.
/// </summary>
internal sealed class PlayedRequester
{
    /// <summary>News of this long go into one report, as in a download.</summary>
    private static readonly TimeSpan ReportInterval = new DownloaderPolicy().ReportInterval;

    private static readonly TimeSpan WritePatience = TimeSpan.FromMilliseconds(1);
    private static readonly int OriginRequests = new DownloaderPolicy().OriginRequests;

    /// <summary>No two segments take equally long: in real herds they do not arrive in step either.</summary>
    private const double Stray = 0.2;

    private readonly string _node;
    private readonly PlayedContent _content;
    private readonly PlayedClock _clock;
    private readonly Lock _lock = new();
    private readonly Random _random;
    private readonly PieceSet _pieces;
    private readonly PieceSet _arrived;
    private readonly PieceSet _readNow;
    private readonly PieceSet _granted;
    private readonly PieceSet _underWay;
    private readonly PieceSet _reading;
    private readonly GrantReport _report = new();
    private readonly LookupRequest _message;
    private IClientStreamWriter<LookupRequest>? _requests;
    private Task _writing = Task.CompletedTask;
    private bool _isReportDue;

    public PlayedRequester(int number, PlayedContent content, PlayedClock clock)
    {
        _node = $"played-{number}";
        _content = content;
        _clock = clock;
        _random = new Random(number);
        _message = new LookupRequest { Report = _report };
        (_pieces, _arrived, _readNow) = (new(content.Layout.PieceCount), new(content.Layout.PieceCount), new(content.Layout.PieceCount));
        (_granted, _underWay, _reading) = (new(content.Layout.SegmentCount), new(content.Layout.SegmentCount), new(content.Layout.SegmentCount));
    }

    /// <summary>Messages to the owner.</summary>
    public int Sent { get; private set; }

    /// <summary>Messages from the owner.</summary>
    public int Received { get; private set; }

    /// <summary>Runs until the stream is closed. Null when that was because everything is here, else why it was.</summary>
    public async Task<string?> RunAsync(CallInvoker owner, CancellationToken cancellationToken)
    {
        using var call = owner.AsyncDuplexStreamingCall(PeerMethods.Lookup, host: null, new CallOptions(cancellationToken: cancellationToken));
        try
        {
            await call.RequestStream.WriteAsync(new LookupRequest { Want = CreateWant() }, cancellationToken);
            Sent++;
            _requests = call.RequestStream;
            while (await call.ResponseStream.MoveNext(cancellationToken))
            {
                Received++;
                lock (_lock)
                {
                    Take(call.ResponseStream.Current);
                }
            }
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or InvalidOperationException)
        {
            return $"{_node} has {_pieces.Count} of {_pieces.Capacity} pieces: {e.Message}";
        }

        return _pieces.IsFull ? null : $"{_node} has {_pieces.Count} of {_pieces.Capacity} pieces: the owner ended the stream";
    }

    private Want CreateWant() => new()
    {
        Member = new Member { Node = _node, Incarnation = 1 },
        Digest = _content.Digest.ToString(),
        Size = _content.Size,
        CanReachOrigin = true,
    };

    private void Take(LookupResponse push)
    {
        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(push.Revoked, _content.Layout)))
        {
            // Whatever has begun arrives all the same.
            _granted.Remove(segment);
        }

        foreach (var segment in SegmentRuns.Numbers(SegmentRuns.ToSet(push.Granted, _content.Layout)))
        {
            _granted.Add(segment);
        }

        BeginReading();
        if (push.Reclaimed.Count > 0)
        {
            GiveBack(SegmentRuns.ToSet(push.Reclaimed, _content.Layout));
        }

        foreach (var run in push.Assigned.SelectMany(assignment => assignment.Segments))
        {
            for (var segment = run.First; segment < run.First + run.Count; segment++)
            {
                Begin((int)segment, isRead: false);
            }
        }
    }

    private void BeginReading()
    {
        while (_reading.Count < OriginRequests && _granted.NextSet(0) is >= 0 and var next)
        {
            _granted.Remove(next);
            Begin(next, isRead: true);
        }
    }

    private void GiveBack(PieceSet reclaimed)
    {
        foreach (var segment in SegmentRuns.Numbers(reclaimed))
        {
            if (_granted.Remove(segment))
            {
                _report.GivenBack.Add(new SegmentRun { First = (uint)segment, Count = 1 });
            }
        }

        ReportWithin(TimeSpan.Zero);
    }

    private void Begin(int segment, bool isRead)
    {
        var (first, end) = SegmentRuns.PiecesOf(segment, _content.Layout);
        if (_pieces.Contains(end - 1) || !_underWay.Add(segment))
        {
            return;
        }

        if (isRead)
        {
            _reading.Add(segment);
        }

        var ofPiece = _content.OfSegment(segment) * (1 + (Stray * ((2 * _random.NextDouble()) - 1))) / (end - first);
        var next = first;
        _clock.At(_clock.Now + ofPiece, ArriveNext);

        void ArriveNext(TimeSpan now)
        {
            lock (_lock)
            {
                Arrive(next++, isRead);
                if (next < end)
                {
                    _clock.At(now + ofPiece, ArriveNext);
                    return;
                }

                _underWay.Remove(segment);
                if (_reading.Remove(segment))
                {
                    BeginReading();
                }
            }
        }
    }

    private void Arrive(int piece, bool isRead)
    {
        _pieces.Add(piece);
        _arrived.Add(piece);
        if (isRead)
        {
            _readNow.Add(piece);
        }

        if (isRead || (piece + 1) % _content.Layout.PiecesPerSegment == 0 || _pieces.IsFull)
        {
            ReportWithin(ReportInterval);
        }
    }

    private void ReportWithin(TimeSpan time)
    {
        if (!_isReportDue)
        {
            _isReportDue = true;
            _clock.At(_clock.Now + time, _ => Report());
        }
    }

    private void Report()
    {
        lock (_lock)
        {
            if (!_writing.IsCompleted)
            {
                // The message is still in use.
                _clock.At(_clock.Now + WritePatience, _ => Report());
                return;
            }

            _isReportDue = false;
            _report.Arrived.AddRange(_arrived.ToPieceRuns());
            _report.Checksums.AddRange(SegmentRuns.Numbers(_readNow).Select(ChecksumsOf));
            _arrived.Clear();
            _readNow.Clear();
            Sent++;
            _writing = WriteAsync(_pieces.IsFull);
        }
    }

    private async Task WriteAsync(bool isLast)
    {
        await _requests!.WriteAsync(_message);
        _report.Arrived.Clear();
        _report.Checksums.Clear();
        _report.GivenBack.Clear();
        if (isLast)
        {
            await _requests.CompleteAsync();
        }
    }

    private PieceChecksums ChecksumsOf(int piece)
    {
        var checksums = new PieceChecksums { Piece = (uint)piece };
        var frame = _content.Layout.FirstFrameOf(piece);
        checksums.Frames.AddRange(Enumerable.Range(frame, _content.Layout.FramesIn(piece)).Select(number => (ulong)number + 1));
        return checksums;
    }
}
