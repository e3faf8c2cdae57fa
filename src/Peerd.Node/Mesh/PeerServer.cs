using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Threading.Channels;
using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Directory;
using Peerd.Node.Limits;
using Peerd.Node.Mesh.Tls;
using Peerd.Node.Telemetry;

namespace Peerd.Node.Mesh;

/// <summary>The three streams of <c>peerd.v1.PeerService</c>: reads messages and hands them to whom they concern.</summary>
internal sealed partial class PeerServer(
    IAnnounceHandler announcements, ILookupHandler lookups, RangeServer ranges, TagDirectory tags, MeshDrain drain, MeshTls tls, CallerStreams streams, ILogger<PeerServer> logger)
{
    /// <summary>In one message. Honest ones have some hundreds; a message of many empty ones would take much more memory than its size.</summary>
    private const int MostAnnounced = 16 * 1024;

    /// <summary>Runs of pieces in one message, of all its contents. Honest ones have 256 KiB, of which each run takes 6 bytes at least.</summary>
    private const int MostAnnouncedRuns = 64 * 1024;

    /// <summary>So many runs of pieces count as one content.</summary>
    private const int RunsPerContent = 16;

    /// <summary>The same of each list in a message of a lookup.</summary>
    private const int MostListed = 16 * 1024;

    /// <summary>Request header in which a node tells its name.</summary>
    public const string NodeHeader = "peerd-node";

    public Task AnnounceAsync(IAsyncStreamReader<AnnounceRequest> requests, IServerStreamWriter<AnnounceResponse> responses, ServerCallContext context) =>
        UntilResetAsync(TakeAnnouncementsAsync(requests, responses, context));

    public Task LookupAsync(IAsyncStreamReader<LookupRequest> requests, IServerStreamWriter<LookupResponse> responses, ServerCallContext context) =>
        UntilResetAsync(AnswerLookupAsync(requests, responses, context));

    public Task FetchRangeAsync(IAsyncStreamReader<FetchRangeRequest> requests, IServerStreamWriter<RangeAnswer> responses, ServerCallContext context) =>
        UntilResetAsync(ranges.ServeAsync(requests, responses, CallerOf(context), context.CancellationToken));

    /// <summary>A peer that resets a stream is nothing unexpected, and no error of this node.</summary>
    private static async Task UntilResetAsync(Task serving)
    {
        try
        {
            await serving;
        }
        catch (Exception e) when (IsReset(e))
        {
            throw new RpcException(new Status(StatusCode.Cancelled, "the stream was cancelled"));
        }
    }

    /// <summary>Waits for what ends with a stream. Anything unexpected is a fault of this node.</summary>
    private static async Task EndedAsync(Task task, CancellationToken reset)
    {
        try
        {
            await task;
        }
        catch (Exception e) when (IsReset(e) || reset.IsCancellationRequested)
        {
        }
    }

    private static bool IsReset(Exception exception) => exception is IOException or OperationCanceledException;

    private async Task TakeAnnouncementsAsync(IAsyncStreamReader<AnnounceRequest> requests, IServerStreamWriter<AnnounceResponse> responses, ServerCallContext context)
    {
        if (!await requests.MoveNext(context.CancellationToken))
        {
            return;
        }

        EnsureNotTooMany(requests.Current);
        using var place = EnterAnnounce(requests.Current, context);
        await place.TakeAsync(CallerStreams.Opening, MessageMemory.Of(requests.Current), context.CancellationToken);
        using var session = OpenAnnounce(requests.Current, context);
        var node = requests.Current.Member.Node;
        var leaving = drain.Current.Leaving;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken);
        using var reading = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, leaving);
        using var turn = new SemaphoreSlim(1);
        var acknowledged = 0UL;
        var isReplaced = false;
        var discarding = TellDiscardsAsync();
        try
        {
            do
            {
                EnsureNotTooMany(requests.Current);
                await place.TakeAsync(1 + CountOf(requests.Current) + ((RunsOf(requests.Current) + OrderedOf(requests.Current)) / RunsPerContent), MessageMemory.Of(requests.Current), reading.Token);
                if (session.Apply(requests.Current))
                {
                    tags.Take(requests.Current.Tags, node);
                }

                acknowledged = requests.Current.Sequence;
                Forget(requests.Current);
                await WriteAsync(new AnnounceResponse());
            }
            while (await requests.MoveNext(reading.Token));

            session.Leave();
        }
        catch (Exception e) when (IsReset(e) && leaving.IsCancellationRequested && !context.CancellationToken.IsCancellationRequested)
        {
            await WriteAsync(new AnnounceResponse { Leaving = true });
        }
        catch (OperationCanceledException) when (Volatile.Read(ref isReplaced) && !context.CancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.FailedPrecondition, $"somebody at another address is node '{node}' now"));
        }
        finally
        {
            await ended.CancelAsync();
            await discarding.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        async Task TellDiscardsAsync()
        {
            try
            {
                while (true)
                {
                    var discard = await session.NextDiscardAsync(ended.Token);
                    await WriteAsync(new AnnounceResponse { Discarded = { discard.ToString() } });
                }
            }
            catch (ChannelClosedException)
            {
                Volatile.Write(ref isReplaced, true);
                await reading.CancelAsync();
            }
        }

        // One message at a time is written on a stream.
        async Task WriteAsync(AnnounceResponse response)
        {
            await turn.WaitAsync(context.CancellationToken);
            try
            {
                response.Acknowledged = acknowledged;
                await responses.WriteAsync(response, context.CancellationToken);
            }
            finally
            {
                turn.Release();
            }
        }
    }

    private async Task AnswerLookupAsync(IAsyncStreamReader<LookupRequest> requests, IServerStreamWriter<LookupResponse> responses, ServerCallContext context)
    {
        if (!await requests.MoveNext(context.CancellationToken))
        {
            return;
        }

        if (requests.Current.Tag is { } asked)
        {
            if (!TagKey.TryCreate(asked.Registry, asked.Repository, asked.Tag, out var key))
            {
                throw new RpcException(new Status(StatusCode.InvalidArgument, "'tag' must name a registry, a repository and a tag as the distribution specification allows"));
            }

            using var turn = Enter(CallerOf(context).Node ?? string.Empty, isLookup: true, context);
            await turn.TakeAsync(CallerStreams.Opening, bytes: 0, context.CancellationToken);
            await responses.WriteAsync(new LookupResponse { Tag = tags.Describe(key) }, context.CancellationToken);
            return;
        }

        using var place = EnterLookup(requests.Current, context);
        await place.TakeAsync(CallerStreams.Opening, MessageMemory.Of(requests.Current), context.CancellationToken);
        using var session = OpenLookup(requests.Current.Want, context, out var answering);
        requests.Current.ClearMessage();
        var leaving = drain.Current.Leaving;
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.CancellationToken, leaving);
        using var reading = CancellationTokenSource.CreateLinkedTokenSource(ended.Token);
        var pushing = PushAsync(session, responses, answering, reading, ended.Token);
        try
        {
            await foreach (var request in requests.ReadUntilAsync(LeavingOf(context), reading.Token))
            {
                if (request.Report is { } report && !IsSize(report.Size))
                {
                    throw new RpcException(new Status(StatusCode.InvalidArgument, $"'report.size' must be between 0 and {HolderDirectory.MaxSize}"));
                }

                if (request.Want?.Member is { } member)
                {
                    tls.EnsureCallerIs(context, member.Node);
                }

                EnsureNotTooMany(request);
                await place.TakeAsync(1, MessageMemory.Of(request), reading.Token);
                session.Apply(request);

                // The next one may be long in coming.
                request.ClearMessage();
            }
        }
        catch (OperationCanceledException) when (reading.IsCancellationRequested && !ended.IsCancellationRequested)
        {
            // Nobody would answer any more, and the caller would wait for that.
            await UntilResetAsync(pushing);
        }
        catch (Exception e) when (IsReset(e) && leaving.IsCancellationRequested && !context.CancellationToken.IsCancellationRequested)
        {
            await EndedAsync(pushing, context.CancellationToken);
            await responses.WriteAsync(new LookupResponse { Leaving = true }, context.CancellationToken);
        }
        finally
        {
            await ended.CancelAsync();
            await pushing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Traces.End(answering);
        }
    }

    private static bool IsName([NotNullWhen(true)] string? node) => node is { Length: > 0 and <= ProtocolConstants.MaxNodeName };

    // Memory for the content's pieces is set aside as soon as its size is known.
    private static bool IsSize(long size) => size is >= 0 and <= HolderDirectory.MaxSize;

    /// <exception cref="RpcException">RESOURCE_EXHAUSTED: it is to be said in several messages.</exception>
    private static void EnsureNotTooMany(AnnounceRequest request)
    {
        if (CountOf(request) > MostAnnounced || RunsOf(request) > MostAnnouncedRuns)
        {
            throw new RpcException(new Status(StatusCode.ResourceExhausted, $"a message may have {MostAnnounced} contents and tags, and {MostAnnouncedRuns} runs of pieces"));
        }
    }

    /// <exception cref="RpcException">INVALID_ARGUMENT: no node has so much to say.</exception>
    private static void EnsureNotTooMany(LookupRequest request)
    {
        if (request.Want is { } want)
        {
            Ensure("want.have", want.Have.Count, ProtocolConstants.MaxHeldRuns);
            Ensure("want.reading", want.Reading.Count);
            Ensure("want.fetching", want.Fetching.Count + want.Fetching.Sum(assignment => assignment.Segments.Count));
            Ensure("want.wanted", want.Wanted.Count);
        }

        if (request.Report is { } report)
        {
            Ensure("report.arrived", report.Arrived.Count);
            Ensure("report.given_back", report.GivenBack.Count);
            Ensure("report.checksums", report.Checksums.Count);
            Ensure("report.reading", report.Reading.Count);
            Ensure("report.failed", report.Failed.Count);
        }

        static void Ensure(string list, int count, int most = MostListed)
        {
            if (count > most)
            {
                throw new RpcException(new Status(StatusCode.InvalidArgument, $"'{list}' has {count} entries; at most {most} are taken"));
            }
        }
    }

    /// <summary>Writes what the session says; when that has come to its end, nothing more is read.</summary>
    private static async Task PushAsync(
        ILookupSession session, IServerStreamWriter<LookupResponse> responses, Activity? answering, CancellationTokenSource reading, CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                // A message whose writing is cut off ends the stream with an error: the last one goes out, or the call is over.
                await responses.WriteAsync(await session.NextAsync(cancellationToken), session.Cut);
                Traces.End(answering);
            }
        }
        finally
        {
            await reading.CancelAsync();
        }
    }

    private RangeCaller CallerOf(ServerCallContext context)
    {
        var node = context.RequestHeaders.GetValue(NodeHeader);
        if (node is not null)
        {
            tls.EnsureCallerIs(context, node);
        }

        return new RangeCaller(node, streams.CountedAs(node, AddressOf(context)), LeavingOf(context));
    }

    /// <summary>The connection of a caller goes, and he may make another one.</summary>
    private static CancellationToken LeavingOf(ServerCallContext context) => context.GetHttpContext().Features.Get<CertifiedConnection>()?.Leaving ?? CancellationToken.None;

    private static int CountOf(AnnounceRequest request) => request.Contents.Count + request.Withdrawn.Count + request.Mismatched.Count + request.Tags.Count;

    private static int RunsOf(AnnounceRequest request) => request.Contents.Sum(content => content.Pieces.Count);

    private static int OrderedOf(AnnounceRequest request) => request.Contents.Sum(content => content.StartupOrder.Count);

    /// <summary>What was applied is not kept until the next message comes, which may never be.</summary>
    internal static void Forget(AnnounceRequest request)
    {
        request.Member = null;
        request.Contents.Clear();
        request.Withdrawn.Clear();
        request.Mismatched.Clear();
        request.Tags.Clear();
    }

    private CallerStreams.Place EnterAnnounce(AnnounceRequest request, ServerCallContext context)
    {
        if (!IsName(request.Member?.Node))
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, $"the first message must hold 'member' with the name of the node, of at most {ProtocolConstants.MaxNodeName} characters"));
        }

        tls.EnsureCallerIs(context, request.Member.Node);
        return Enter(request.Member.Node, isLookup: false, context);
    }

    private CallerStreams.Place EnterLookup(LookupRequest request, ServerCallContext context)
    {
        if (request.Want is not { } want || !Digest.TryParseScoped(want.Digest, out _) || !IsName(want.Member?.Node) || !IsSize(want.Size))
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, $"the first message must hold 'want' with 'member.node' of at most {ProtocolConstants.MaxNodeName} characters and a digest such as sha256:<64 lower-case hex digits>"));
        }

        tls.EnsureCallerIs(context, want.Member.Node);
        EnsureNotTooMany(request);
        return Enter(want.Member.Node, isLookup: true, context);
    }

    private ILookupSession OpenLookup(Want want, ServerCallContext context, out Activity? answering)
    {
        Log.LookupOpened(logger, want.Digest, want.Member.Node);
        answering = Traces.ServeAside("lookup", want.Traceparent)?.SetTag(Traces.Digest, want.Digest);
        return lookups.Open(want, UnprovenAddressOf(context));
    }

    private CallerStreams.Place Enter(string node, bool isLookup, ServerCallContext context) =>
        streams.Enter(node, isLookup, UnprovenAddressOf(context));

    /// <summary>Where the caller calls from; null when his certificate proves his name.</summary>
    private IPAddress? UnprovenAddressOf(ServerCallContext context) => tls.ProvesNames ? null : CallerAddress.Plain(AddressOf(context));

    private static IPAddress AddressOf(ServerCallContext context) => context.GetHttpContext().Connection.RemoteIpAddress ?? IPAddress.None;

    private IAnnounceSession OpenAnnounce(AnnounceRequest request, ServerCallContext context)
    {
        Log.AnnounceOpened(logger, request.Member.Node);
        return announcements.Open(request.Member, UnprovenAddressOf(context))
            ?? throw new RpcException(new Status(StatusCode.FailedPrecondition, $"a newer process of node '{request.Member.Node}', or one at its own address, has announced already, or too many that are no members announce"));
    }

    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Debug, "Announce stream opened by {Node}")]
        public static partial void AnnounceOpened(ILogger logger, string node);

        [LoggerMessage(2, LogLevel.Debug, "Lookup of {Digest} opened by {Node}")]
        public static partial void LookupOpened(ILogger logger, string digest, string node);
    }
}
