using System.Diagnostics.Metrics;
using System.Net;
using System.Net.Sockets;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Mesh;
using Peerd.Node.Mesh.Tls;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;
using Peer = Peerd.Node.Mesh.Peer;

namespace Peerd.Tests.Mesh;

/// <summary>Reading from a peer that waits, or says so; the clock of the reader is the test's.</summary>
public sealed class RangeStreamTests : IAsyncLifetime
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _time = new();
    private readonly ServiceProvider _services = new ServiceCollection().AddMetrics().BuildServiceProvider();
    private readonly SampleContent _sample = TestMesh.NewSample(200_000);
    private readonly Sink _sink = new();
    private readonly PeerTraffic.Counters _counters = new();
    private FakePeer? _fake;
    private Peer? _peer;

    public async ValueTask InitializeAsync()
    {
        _fake = await FakePeer.StartAsync("fake");
        _peer = PeerAt(_fake.EndPoint.Port);
    }

    public async ValueTask DisposeAsync()
    {
        _peer!.Dispose();
        await _fake!.DisposeAsync();
        await _services.DisposeAsync();
    }

    [Fact]
    public async Task Fetch_PeerWaitsLongAndSaysSo_SinkIsToldAndTheRangeGoesOn()
    {
        using var says = new SemaphoreSlim(0);
        _fake!.Answer = async (range, answers, call) =>
        {
            await SayAsync(40, says, range, answers, call);
            foreach (var answer in FakePeer.Honest(range, _sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        var fetching = FetchAsync();

        await PassAsync(40, says);

        Assert.Equal(RangeOutcomeKind.Complete, (await fetching.WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(40, _sink.Waits);
        Assert.Equal([0, 1, 2, 3], _sink.Frames);
    }

    [Fact]
    public async Task Fetch_HeadTellsTheMediaType_SinkIsToldOfThisSizeOnly()
    {
        var size = _sample.Bytes.Length + 1;
        _fake!.Answer = async (range, answers, _) =>
        {
            await answers.WriteAsync(new FetchRangeResponse { Id = range.Id, Head = new RangeHead { Size = size, MediaType = "a/b" } });
            await answers.WriteAsync(FakePeer.End(range, RangeStatus.NotHeld));
        };

        await FetchAsync().WaitAsync(Wait.Longest);
        Assert.Empty(_sink.Types);

        size--;
        await FetchAsync().WaitAsync(Wait.Longest);
        Assert.Equal(["a/b"], _sink.Types);
    }

    [Fact]
    public async Task Fetch_PeerOnlyEverSaysThatItWaits_FailsAtTheDeadline()
    {
        using var says = new SemaphoreSlim(0);
        _fake!.Answer = (range, answers, call) => SayAsync(int.MaxValue, says, range, answers, call);
        var fetching = FetchAsync();

        await PassAsync(59, says);
        Assert.False(fetching.IsCompleted);
        await PassAsync(1, says);

        var outcome = await fetching.WaitAsync(Wait.Longest);
        Assert.Equal((RangeOutcomeKind.Failed, "not finished within 60 s"), (outcome.Kind, outcome.Error));
    }

    [Fact]
    public async Task Fetch_PeerSaysThatItWaitsAndNothingMore_FailsAfterTheIdleTimeout()
    {
        using var says = new SemaphoreSlim(0);
        _fake!.Answer = (range, answers, call) => SayAsync(int.MaxValue, says, range, answers, call);
        var fetching = FetchAsync();

        await PassAsync(3, says);
        // At a quarter of the time it is looked at for the first time.
        _time.Advance(TimeSpan.FromSeconds(0.3));
        _time.Advance(TimeSpan.FromSeconds(3.6));
        Assert.False(fetching.IsCompleted);
        _time.Advance(TimeSpan.FromSeconds(0.2));

        var outcome = await fetching.WaitAsync(Wait.Longest);
        Assert.Equal((RangeOutcomeKind.Failed, "nothing received for 5 s"), (outcome.Kind, outcome.Error));
    }

    [Fact]
    public async Task Fetch_HeadRepeatedForEver_FailsAfterTheIdleTimeout()
    {
        using var says = new SemaphoreSlim(0);
        using var said = new SemaphoreSlim(0);
        _fake!.Answer = async (range, answers, call) =>
        {
            await SayAsync(1, says, range, answers, call);
            while (await TakeAsync(says, call))
            {
                await answers.WriteAsync(FakePeer.Honest(range, _sample).First());
                said.Release();
            }
        };
        var fetching = FetchAsync();
        await PassAsync(1, says);

        for (var second = 0; second < 4; second++)
        {
            says.Release();
            await said.WaitAsync(Wait.Longest);

            // Nothing tells that the reader has seen it: on a machine that is slower the test is only easier to pass.
            await Task.Delay(TimeSpan.FromMilliseconds(50));
            _time.Advance(Second);
        }

        Assert.Equal(RangeOutcomeKind.Failed, (await fetching.WaitAsync(Wait.Longest)).Kind);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Fetch_PeerHasMoreRangesThanItTakes_IsBusyAndNotToBlame(bool isReused)
    {
        _fake!.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, _sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        if (isReused)
        {
            Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        }

        var before = _fake.RangesAsked;
        _fake.Answer = (_, _, _) => throw RangeServer.TooManyRanges();

        Assert.Equal(RangeOutcomeKind.Busy, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(1, _fake.RangesAsked - before);
        Assert.Equal(0, _counters.Failures);
    }

    // The client makes up this status itself for a message that is larger than any may be, and a peer for one that it does not take.
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Fetch_ResourcesAreExhaustedOtherwise_IsAFailureOfThePeer(bool isOfClient)
    {
        _fake!.Answer = (range, answers, _) => isOfClient
            ? answers.WriteAsync(new FetchRangeResponse { Id = range.Id, End = new RangeEnd { Status = RangeStatus.NotHeld, Message = new string('x', ProtocolConstants.MaxRangeAnswerBytes) } })
            : throw new RpcException(new Status(StatusCode.ResourceExhausted, "a message of 1025 bytes; at most 1024 are taken"));

        Assert.Equal(RangeOutcomeKind.Failed, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(1, _counters.Failures);
    }

    [Fact]
    public async Task Fetch_PeerFailsAgainAndAgain_IsLeftAloneForASecond()
    {
        _fake!.Answer = static (_, _, _) => throw new RpcException(new Status(StatusCode.Internal, "broken"));
        for (var range = 0; range < PeerBreaker.LeastRanges; range++)
        {
            await FetchAsync().WaitAsync(Wait.Longest);
        }

        Assert.Equal(RangeOutcomeKind.Failed, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(PeerBreaker.LeastRanges, _fake.RangesAsked);

        _time.Advance(1.1 * Second);
        await FetchAsync().WaitAsync(Wait.Longest);
        Assert.Equal(PeerBreaker.LeastRanges + 1, _fake.RangesAsked);
    }

    // Whoever waits gives each of them up before it could fail.
    [Fact]
    public async Task Fetch_NotAByteComesForOneRangeAfterTheOther_PeerIsLeftAloneForAWhile()
    {
        using var silent = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        silent.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        silent.Listen();
        using var peer = PeerAt(((IPEndPoint)silent.LocalEndPoint!).Port);
        await GiveUpAsync();
        await GiveUpAsync();

        var outcome = await peer.FetchAsync(Request(), _sink, TestContext.Current.CancellationToken);

        Assert.Equal((RangeOutcomeKind.Failed, "it said nothing again and again, and is left alone for a while"), (outcome.Kind, outcome.Error));
        _time.Advance(PeerSilence.First);
        await GiveUpAsync();

        async Task GiveUpAsync()
        {
            using var patience = new CancellationTokenSource();
            var fetching = peer.FetchAsync(Request(), _sink, patience.Token);
            _time.Advance(Second);
            await patience.CancelAsync();
            Assert.Equal(RangeOutcomeKind.Cancelled, (await fetching.WaitAsync(Wait.Longest)).Kind);
        }
    }

    public static TheoryData<Exception> EndsOfStreams => [new NullReferenceException(), new HttpRequestException("STREAM_CLOSED")];

    [Theory]
    [MemberData(nameof(EndsOfStreams))]
    public async Task Read_StreamEndsWhileTheRequestIsSent_Fails(Exception end)
    {
        using var call = new AsyncDuplexStreamingCall<FetchRangeRequest, RangeAnswer>(
            new EndedStream<FetchRangeRequest>(end), null!, Task.FromResult(new Metadata()), static () => Status.DefaultCancelled, static () => [], static () => { });
        using var stream = new RangeStream(new RangeLane(), call);

        var outcome = await stream.ReadAsync(
            new RangeRequest(_sample.Digest, _sample.Layout, Whole()), _sink, new RangeLimits(Second, Second), new PeerLoad(static () => 0), _time, CancellationToken.None);

        Assert.Equal((RangeOutcomeKind.Failed, true), (outcome.Kind, stream.IsBroken));
    }

    [Fact]
    public async Task Send_MessageThatCannotBeSerialized_IsNoBrokenStream() =>
        await Assert.ThrowsAsync<NullReferenceException>(() => new EndedStream<UnfinishedMessage>(new NullReferenceException()).SendAsync(new UnfinishedMessage(), CancellationToken.None));

    [Fact]
    public async Task Fetch_WaitingOfAnotherRange_IsCorrupt()
    {
        _fake!.Answer = (range, answers, _) => answers.WriteAsync(new FetchRangeResponse { Id = range.Id + 1, Waiting = new RangeWaiting() });

        Assert.Equal(RangeOutcomeKind.Corrupt, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(0, _sink.Waits);
    }

    [Fact]
    public async Task Fetch_MessageHasMoreChecksumsThanAny_FailsAndNothingIsTaken()
    {
        _fake!.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, _sample))
            {
                answer.Frame?.NextChecksums.AddRange(Enumerable.Repeat(1UL, RangeAnswer.MaxNextChecksums + 1));
                await answers.WriteAsync(answer);
            }
        };

        Assert.Equal(RangeOutcomeKind.Failed, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Empty(_sink.Frames);
    }

    // Somebody has told a wrong size, and nobody knows who.
    [Fact]
    public async Task Fetch_PeerHasAContentOfAnotherSize_IsNotBlamed()
    {
        _fake!.Answer = (range, answers, _) =>
        {
            var head = FakePeer.Honest(range, _sample).First();
            head.Head.Size++;
            return answers.WriteAsync(head);
        };

        Assert.Equal(RangeOutcomeKind.NotHeld, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
    }

    [Theory]
    [InlineData(RangeStatus.Complete, nameof(RangeOutcomeKind.Complete))]
    [InlineData(RangeStatus.NotHeld, nameof(RangeOutcomeKind.NotHeld))]
    [InlineData(RangeStatus.Busy, nameof(RangeOutcomeKind.Busy))]
    [InlineData(RangeStatus.DeadlineExceeded, nameof(RangeOutcomeKind.Busy))]
    public async Task Fetch_PeerTellsPieces_OutcomeHasThem(RangeStatus status, string kind)
    {
        FetchRange? asked = null;
        _fake!.Answer = async (range, answers, _) =>
        {
            asked = range;
            foreach (var answer in FakePeer.Honest(range, _sample).SkipLast(1))
            {
                await answers.WriteAsync(answer);
            }

            var end = FakePeer.End(range, status);
            end.End.Pieces.Add(new PieceRun { First = 1, Count = 2 });
            await answers.WriteAsync(end);
        };

        var outcome = await FetchAsync(tellPieces: true).WaitAsync(Wait.Longest);

        Assert.Equal(kind, outcome.Kind.ToString());
        Assert.Equal([new PieceRun { First = 1, Count = 2 }], outcome.Pieces);
        Assert.Equal((true, true), (asked!.Wait, asked.TellPieces));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Fetch_DeadlineOfThePeerWithNextToNothing_HasFailed(int frames)
    {
        var sample = TestMesh.NewSample(20 * _sample.Layout.FrameSize);
        _fake!.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, sample).Take(1 + frames))
            {
                await answers.WriteAsync(answer);
            }

            await answers.WriteAsync(FakePeer.End(range, RangeStatus.DeadlineExceeded));
        };

        var outcome = await _peer!.FetchAsync(new RangeRequest(sample.Digest, sample.Layout, ByteRange.FromBounds(0, sample.Layout.Size)), _sink, CancellationToken.None).WaitAsync(Wait.Longest);

        Assert.Equal(RangeOutcomeKind.Failed, outcome.Kind);
    }

    [Fact]
    public async Task Fetch_PeerTellsMoreAndImpossiblePieces_SomeAreTakenAndNoneIsAdded()
    {
        _fake!.Answer = (range, answers, _) =>
        {
            var end = FakePeer.End(range, RangeStatus.NotHeld);
            end.End.Pieces.Add(Enumerable.Range(0, 5000).Select(_ => new PieceRun { First = uint.MaxValue, Count = uint.MaxValue }));
            return answers.WriteAsync(end);
        };

        var outcome = await FetchAsync(tellPieces: true).WaitAsync(Wait.Longest);

        Assert.Equal(RangeOutcome.MaxPieceRuns, outcome.Pieces.Count);
        var pieces = new PieceSet(_sample.Layout.PieceCount);
        pieces.AddRuns(outcome.Pieces);
        Assert.Equal(0, pieces.Count);
    }

    [Fact]
    public async Task Fetch_NothingExtraAskedFor_IsNotInTheRequest()
    {
        FetchRange? asked = null;
        _fake!.Answer = (range, answers, _) =>
        {
            asked = range;
            return answers.WriteAsync(FakePeer.End(range, RangeStatus.NotHeld));
        };

        var outcome = await _peer!.FetchAsync(new RangeRequest(_sample.Digest, _sample.Layout, Whole()), _sink, CancellationToken.None).WaitAsync(Wait.Longest);

        Assert.Empty(outcome.Pieces);
        Assert.Equal((false, false), (asked!.Wait, asked.TellPieces));
    }

    // The peer does all it should: it is this node that takes no more.
    [Fact]
    public async Task Fetch_ThisNodeMayReadAFrameAMinute_ComesWithoutBlameOfThePeer()
    {
        using var rate = new ByteRate(_sample.Layout.FrameSize / 60, 1, _time);
        using var slow = new Peer(
            new Peerd.Node.Membership.Member("fake", new DnsEndPoint("127.0.0.1", _fake!.EndPoint.Port), string.Empty),
            "self", new MeshOptions(), new PeerTraffic.Counters(), new MeshMetrics(_services.GetRequiredService<IMeterFactory>()), MeshTls.Off, _time, rate);
        _fake.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, _sample))
            {
                await answers.WriteAsync(answer);
            }
        };

        var fetching = slow.FetchAsync(new RangeRequest(_sample.Digest, _sample.Layout, Whole()), _sink, CancellationToken.None);
        for (var frame = 1; frame < 4; frame++)
        {
            var before = frame;
            await Wait.UntilAsync(() => _sink.Frames.Count == before && rate.Waiting == 1, $"{before} frames have come, and the next one is waited for");
            for (var second = 0; second < 61; second++)
            {
                _time.Advance(Second);
            }
        }

        Assert.Equal(RangeOutcomeKind.Complete, (await fetching.WaitAsync(Wait.Longest)).Kind);
        Assert.Equal([0, 1, 2, 3], _sink.Frames);
    }

    // One message is paid for ahead, and may be shorter or longer than that.
    [Fact]
    public async Task Fetch_MessagesOfAllLengths_AreTakenFromTheRateByteForByte()
    {
        var layout = new ContentLayout(1L << 30);
        const int Frames = 20;
        using var rate = new ByteRate(1, 1L << 30, _time);
        using var limited = new Peer(
            new Peerd.Node.Membership.Member("fake", new DnsEndPoint("127.0.0.1", _fake!.EndPoint.Port), string.Empty),
            "self", new MeshOptions(), new PeerTraffic.Counters(), new MeshMetrics(_services.GetRequiredService<IMeterFactory>()), MeshTls.Off, _time, rate);
        _fake.Answer = async (range, answers, _) =>
        {
            var data = new byte[layout.FrameSize];
            var checksum = FrameChecksum.Compute(data);
            await answers.WriteAsync(new FetchRangeResponse { Id = range.Id, Head = new RangeHead { Size = layout.Size } });
            for (var (frame, count) = (0, 3); frame < Frames; (frame, count) = (frame + count, Math.Min(7 - count, Frames - frame - count)))
            {
                await answers.WriteAsync(new FetchRangeResponse
                {
                    Id = range.Id,
                    Frame = new Frame
                    {
                        Offset = layout.Frame(frame).Offset,
                        Checksum = checksum,
                        Data = ByteString.CopyFrom(new byte[count * layout.FrameSize]),
                        NextChecksums = { Enumerable.Repeat(checksum, count - 1) },
                    },
                });
            }

            await answers.WriteAsync(FakePeer.End(range, RangeStatus.Complete));
        };

        var outcome = await limited.FetchAsync(
            new RangeRequest(_sample.Digest, layout, ByteRange.FromBounds(0, layout.Frame(Frames - 1).End)), _sink, CancellationToken.None).WaitAsync(Wait.Longest);

        Assert.Equal((RangeOutcomeKind.Complete, string.Empty), (outcome.Kind, outcome.Error));
        Assert.Equal(Enumerable.Range(0, Frames), _sink.Frames);

        // What is left of it can be taken, and nothing more.
        await rate.TakeAsync((1 << 30) - (Frames * layout.FrameSize), Urgency.Pull, default, CancellationToken.None).WaitAsync(Wait.Longest);
        Assert.False(rate.TakeAsync(1, Urgency.Pull, default, CancellationToken.None).IsCompleted, "more came than was taken");
    }

    // Who asked first comes last, when nobody waits for it.
    [Fact]
    public async Task Fetch_ThisNodeMayReadAFrameASecond_StreamingGoesFirstPullsNextAndWhatIsFetchedAheadLast()
    {
        using var rate = new ByteRate(_sample.Layout.FrameSize, 1, _time);
        using var limited = new Peer(
            new Peerd.Node.Membership.Member("fake", new DnsEndPoint("127.0.0.1", _fake!.EndPoint.Port), string.Empty),
            "self", new MeshOptions(), new PeerTraffic.Counters(), new MeshMetrics(_services.GetRequiredService<IMeterFactory>()), MeshTls.Off, _time, rate);
        _fake.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, _sample))
            {
                await answers.WriteAsync(answer);
            }
        };
        await rate.TakeAsync(_sample.Layout.FrameSize, Urgency.Pull, default, CancellationToken.None);
        var request = new RangeRequest(_sample.Digest, _sample.Layout, Whole());
        var sinks = new[] { new Sink(), new Sink(), new Sink() };
        var fetches = new List<Task<RangeOutcome>>();
        foreach (var (sink, asked) in sinks.Zip([request with { Ahead = true }, request, request with { Urgent = true }]))
        {
            fetches.Add(limited.FetchAsync(asked, sink, CancellationToken.None));
            await Wait.UntilAsync(() => rate.Waiting == fetches.Count && sink.IsHeldBack, "it waits, too, and is told that this node holds it back");
        }

        for (var frames = 1; frames <= 12; frames++)
        {
            var left = 3 - (frames / 4);
            var after = frames;
            for (var waiting = rate.Waiting; rate.Waiting == waiting;)
            {
                _time.Advance(TimeSpan.FromMilliseconds(100));
            }

            await Wait.UntilAsync(() => sinks.Sum(sink => sink.Frames.Count) == after && rate.Waiting == left, $"{after} frames have come");
            Assert.Equal((Math.Min(4, after), Math.Clamp(after - 4, 0, 4), Math.Clamp(after - 8, 0, 4)), (sinks[2].Frames.Count, sinks[1].Frames.Count, sinks[0].Frames.Count));
        }

        Assert.All(await Task.WhenAll(fetches).WaitAsync(Wait.Longest), outcome => Assert.Equal(RangeOutcomeKind.Complete, outcome.Kind));
        Assert.All(sinks, sink => Assert.False(sink.IsHeldBack));
    }

    [Fact]
    public async Task Fetch_PeerEndsItBecauseThisNodeReadsSlowly_IsBusyAndNotFailed()
    {
        using var rate = new ByteRate(_sample.Layout.FrameSize / 60, 1, _time);
        using var slow = new Peer(
            new Peerd.Node.Membership.Member("fake", new DnsEndPoint("127.0.0.1", _fake!.EndPoint.Port), string.Empty),
            "self", new MeshOptions(), new PeerTraffic.Counters(), new MeshMetrics(_services.GetRequiredService<IMeterFactory>()), MeshTls.Off, _time, rate);
        _fake.Answer = async (range, answers, _) =>
        {
            foreach (var answer in FakePeer.Honest(range, _sample).Take(2))
            {
                await answers.WriteAsync(answer);
            }

            await answers.WriteAsync(FakePeer.End(range, RangeStatus.DeadlineExceeded));
        };

        var fetching = slow.FetchAsync(new RangeRequest(_sample.Digest, _sample.Layout, Whole()), _sink, CancellationToken.None);
        await Wait.UntilAsync(() => rate.Waiting == 1, "the second frame is waited for");
        _time.Advance(TimeSpan.FromSeconds(61));

        Assert.Equal(RangeOutcomeKind.Busy, (await fetching.WaitAsync(Wait.Longest)).Kind);
    }

    // What nobody reads would be kept.
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Idle_PeerSendsWhatWasNotAskedFor_StreamEndsAndPeerIsLeftAlone(bool isFrame)
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var says = new SemaphoreSlim(0);
        _fake!.Answer = async (range, answers, call) =>
        {
            using var ending = call.CancellationToken.Register(ended.SetResult);
            await AnswerHonestlyAsync(range, answers);
            if (await TakeAsync(says, call))
            {
                await answers.WriteAsync(isFrame ? FakePeer.FrameOf(range, 0, _sample.Frame(0).ToArray()) : new FetchRangeResponse { Id = range.Id + 1, Waiting = new RangeWaiting() });
                await ended.Task;
            }
        };
        Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.False(_peer!.IsEjected);

        says.Release();

        await ended.Task.WaitAsync(Wait.Longest);
        await Wait.UntilAsync(() => _peer.IsEjected, "it is left alone");
        Assert.Equal(1, _counters.Failures);

        // What came is forgotten with the stream.
        _fake.Answer = (range, answers, _) => AnswerHonestlyAsync(range, answers);
        _time.Advance(PeerEjection.First);
        Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Idle_PeerEndsTheStream_ItIsNotWokenAndNobodyIsBlamed(bool isFault)
    {
        using var ends = new SemaphoreSlim(0);
        _fake!.Answer = async (range, answers, call) =>
        {
            await AnswerHonestlyAsync(range, answers);
            await TakeAsync(ends, call);
            throw new RpcException(isFault ? new Status(StatusCode.Unavailable, "it leaves") : Status.DefaultSuccess);
        };
        using var opened = OpenStream();
        var blamed = new List<Digest>();
        Assert.Equal(RangeOutcomeKind.Complete, (await ReadAsync(opened.Stream).WaitAsync(Wait.Longest)).Kind);
        opened.Stream.Rest(_sample.Digest, blamed.Add);

        ends.Release();

        await opened.Disposed.WaitAsync(Wait.Longest);
        Assert.False(opened.Stream.TryWake());
        Assert.Empty(blamed);
    }

    [Fact]
    public async Task Fetch_PeerHasEndedTheStream_RangeComesByAnotherAndNobodyIsBlamed()
    {
        using var ends = new SemaphoreSlim(0);
        _fake!.Answer = async (range, answers, call) =>
        {
            await AnswerHonestlyAsync(range, answers);
            await TakeAsync(ends, call);
            throw new RpcException(new Status(StatusCode.Unavailable, "it leaves"));
        };
        Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        ends.Release();
        _fake.Answer = (range, answers, _) => AnswerHonestlyAsync(range, answers);

        // This node may have heard of the end by now, or hear of it instead of an answer.
        Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);
        Assert.Equal(RangeOutcomeKind.Complete, (await FetchAsync().WaitAsync(Wait.Longest)).Kind);

        Assert.Equal((3, 0), (_fake.RangesAsked, _counters.Failures));
        Assert.False(_peer!.IsEjected);
    }

    [Fact]
    public async Task Read_OnAStreamThatWasIdle_EndsWhenNobodyNeedsIt()
    {
        var ended = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var asked = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _fake!.Answer = (range, answers, _) => AnswerHonestlyAsync(range, answers);
        using var opened = OpenStream();
        await ReadAsync(opened.Stream).WaitAsync(Wait.Longest);
        opened.Stream.Rest(_sample.Digest, _ => Assert.Fail("the peer has said nothing"));
        Assert.True(opened.Stream.TryWake());
        _fake.Answer = async (_, _, call) =>
        {
            using var ending = call.CancellationToken.Register(ended.SetResult);
            asked.SetResult();
            await ended.Task;
        };

        using var nobody = new CancellationTokenSource();
        var reading = ReadAsync(opened.Stream, nobody.Token);
        await Wait.UntilAsync(() => opened.Sent == 2, "the request is sent, and only the answer is waited for");

        // The end of a stream overtakes what was sent and is not read yet.
        await asked.Task.WaitAsync(Wait.Longest);
        await nobody.CancelAsync();

        Assert.Equal(RangeOutcomeKind.Cancelled, (await reading.WaitAsync(Wait.Longest)).Kind);
        await ended.Task.WaitAsync(Wait.Longest);
    }

    private async Task AnswerHonestlyAsync(FetchRange range, IServerStreamWriter<FetchRangeResponse> answers)
    {
        foreach (var answer in FakePeer.Honest(range, _sample))
        {
            await answers.WriteAsync(answer);
        }
    }

    private Peer PeerAt(int port) => new(
        new Peerd.Node.Membership.Member("fake", new DnsEndPoint("127.0.0.1", port), string.Empty),
        "self",
        new MeshOptions(),
        _counters,
        new MeshMetrics(_services.GetRequiredService<IMeterFactory>()),
        MeshTls.Off,
        _time);

    private Task<RangeOutcome> FetchAsync(bool tellPieces = false, CancellationToken cancellationToken = default) =>
        _peer!.FetchAsync(Request(tellPieces), _sink, cancellationToken);

    private RangeRequest Request(bool tellPieces = false) => new(_sample.Digest, _sample.Layout, Whole(), Wait: true, tellPieces);

    private OpenedStream OpenStream() => new(GrpcChannel.ForAddress($"http://{_fake!.EndPoint}"));

    private Task<RangeOutcome> ReadAsync(RangeStream stream, CancellationToken cancellationToken = default) =>
        stream.ReadAsync(new RangeRequest(_sample.Digest, _sample.Layout, Whole()), _sink, new RangeLimits(Second, Second), new PeerLoad(() => 0), _time, cancellationToken);

    private ByteRange Whole() => ByteRange.FromBounds(0, _sample.Bytes.Length);

    /// <summary>Lets the peer say that it waits and a second pass, so many times.</summary>
    private async Task PassAsync(int seconds, SemaphoreSlim says)
    {
        for (var second = 0; second < seconds; second++)
        {
            var heard = _sink.Waits + 1;
            says.Release();
            await Wait.UntilAsync(() => _sink.Waits == heard, $"the sink hears 'waiting' {heard} times");
            _time.Advance(Second);
        }
    }

    private static async Task SayAsync(int times, SemaphoreSlim says, FetchRange range, IServerStreamWriter<FetchRangeResponse> answers, ServerCallContext call)
    {
        for (var i = 0; i < times && await TakeAsync(says, call); i++)
        {
            await answers.WriteAsync(new FetchRangeResponse { Id = range.Id, Waiting = new RangeWaiting() });
        }
    }

    private static async Task<bool> TakeAsync(SemaphoreSlim says, ServerCallContext call)
    {
        try
        {
            await says.WaitAsync(call.CancellationToken);
            return true;
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    /// <summary>A stream to the peer, and what the reader of ranges does with it.</summary>
    private sealed class OpenedStream : IClientStreamWriter<FetchRangeRequest>, IDisposable
    {
        private readonly TaskCompletionSource _disposed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly GrpcChannel _channel;
        private readonly IClientStreamWriter<FetchRangeRequest> _requests;
        private int _sent;

        public OpenedStream(GrpcChannel channel)
        {
            _channel = channel;
            var lane = new RangeLane();
            var call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(lane.Method, host: null, default);
            _requests = call.RequestStream;
            Stream = new RangeStream(lane, new AsyncDuplexStreamingCall<FetchRangeRequest, RangeAnswer>(
                this, call.ResponseStream, call.ResponseHeadersAsync, call.GetStatus, call.GetTrailers, () =>
                {
                    call.Dispose();
                    _disposed.TrySetResult();
                }));
        }

        public RangeStream Stream { get; }

        /// <summary>Completes when it is disposed of.</summary>
        public Task Disposed => _disposed.Task;

        /// <summary>Requests that are on their way.</summary>
        public int Sent => Volatile.Read(ref _sent);

        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(FetchRangeRequest message) => WriteAsync(message, CancellationToken.None);

        public async Task WriteAsync(FetchRangeRequest message, CancellationToken cancellationToken)
        {
            await _requests.WriteAsync(message, cancellationToken);
            Interlocked.Increment(ref _sent);
        }

        public Task CompleteAsync() => _requests.CompleteAsync();

        public void Dispose()
        {
            Stream.Dispose();
            _channel.Dispose();
        }
    }

    /// <summary>What the runtime throws when a stream ends in the middle of a message, or just when it begins to wait for room in its window.</summary>
    private sealed class EndedStream<T>(Exception end) : IClientStreamWriter<T>
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(T message) => Task.FromException(end);

        public Task WriteAsync(T message, CancellationToken cancellationToken) => WriteAsync(message);

        public Task CompleteAsync() => Task.CompletedTask;
    }

    /// <summary>A message that fails when it is written, as one with a mistake of ours in it would.</summary>
    private sealed class UnfinishedMessage : IMessage
    {
        private readonly string _text = null!;

        public MessageDescriptor Descriptor => FetchRangeRequest.Descriptor;

        public int CalculateSize() => 1;

        public void WriteTo(CodedOutputStream output) => output.WriteLength(_text.Length);

        public void MergeFrom(CodedInputStream input) => throw new NotSupportedException();
    }

    private sealed class Sink : IRangeSink
    {
        private int _waits;
        private bool _isHeldBack;

        public int Waits => Volatile.Read(ref _waits);

        public List<int> Frames { get; } = [];

        public bool Accept(int frame, ReadOnlySpan<byte> data, ulong checksum)
        {
            Frames.Add(frame);
            return true;
        }

        public List<string> Types { get; } = [];

        public void Told(string mediaType) => Types.Add(mediaType);

        public void Waiting() => Interlocked.Increment(ref _waits);

        public bool IsHeldBack => Volatile.Read(ref _isHeldBack);

        public void HeldBack(bool isHeld) => Volatile.Write(ref _isHeldBack, isHeld);
    }
}
