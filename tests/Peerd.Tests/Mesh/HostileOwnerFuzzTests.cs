using System.Net;
using CsCheck;
using Microsoft.Extensions.Logging;
using Peerd.Contracts.V1;
using Peerd.Tests.Hosting;
using Peerd.Tests.Storage;
using static Peerd.Tests.Mesh.HostileStreamFuzzTests;

namespace Peerd.Tests.Mesh;

/// <summary>
/// A member that the ring makes an owner and that pushes anything: nodes go on, and what they give their clients is right.
/// Time goes ten times as fast, for what helps against such owners is patience.
/// </summary>
[Trait(FuzzTraits.Kind, FuzzTraits.Fuzz)]
public sealed class HostileOwnerFuzzTests
{
    private const int Size = 300_000;

    private static readonly Gen<Assignment[]> Assigned =
        Gen.Select(Name, Segments, (node, segments) => new Assignment { Node = node, Segments = { segments } }).Array[0, 3];

    private static readonly Gen<Holder[]> Holders =
        Gen.Select(Name, Gen.Int[0, 3], Pieces, Pieces, (node, flags, pieces, receiving) => new Holder { Node = node, Complete = (flags & 1) != 0, Replace = (flags & 2) != 0, Pieces = { pieces }, Receiving = { receiving } })
            .Array[0, 3];

    /// <summary>Orders and news of all kinds, but for what the content is.</summary>
    private static readonly Gen<LookupResponse> Order =
        from holders in Holders
        from gone in Name.Array[0, 2]
        from granted in Segments
        from revoked in Segments
        from reclaimed in Segments
        from assigned in Assigned
        from checksums in Checksums
        from order in Number.Array[0, 4]
        from state in Gen.Int[0, 3]
        from kind in Gen.Int[0, 15]
        select new LookupResponse
        {
            Holders = { holders },
            Gone = { gone },
            Granted = { kind % 3 == 0 ? granted : [] },
            Revoked = { revoked },
            Reclaimed = { reclaimed },
            Assigned = { assigned },
            Checksums = { checksums },
            StartupOrder = { order },
            State = (LookupState)state,
            Leaving = kind == 1,
        };

    private static readonly Gen<LookupResponse[]> HonestOfSize =
        Gen.Select(Order, Gen.Bool, (push, isSizeTold) => With(push, isSizeTold ? Size : 0, pause: 0, mediaType: string.Empty)).Array[0, 6];

    private static readonly Gen<LookupResponse[]> Any =
        Gen.Select(Order, Long, Gen.Frequency((4, Gen.Const(0u)), (1, Number)), Name, (push, size, pause, mediaType) => With(push, size, pause, mediaType)).Array[0, 6];

    private static readonly Gen<AnnounceResponse[]> Answers =
        Gen.Select(Gen.ULong, Digest.Array[0, 3], Gen.Int[0, 20], (acknowledged, discarded, leaving) => new AnnounceResponse { Acknowledged = acknowledged, Discarded = { discarded }, Leaving = leaving == 0 }).Array[1, 4];

    [Fact]
    public async Task Push_AnyOrders_PullIsRight() => await Gen.Select(HonestOfSize, Answers, Gen.Bool, Gen.Bool).SampleAsync(
        async (pushes, answers, isEnding, isHolding) =>
        {
            await using var mesh = await StartAsync();
            var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
            Behave(mesh.Peer, sample, pushes, answers, isEnding, isHolding);

            // What it has discarded cuts a body that had begun, and only once.
            var first = await mesh.Node.GetAsync(sample.Digest);
            if (first.IsComplete || first.Status != HttpStatusCode.OK)
            {
                first.ShouldBe(sample.Bytes);
            }

            Assert.True(sample.Bytes.AsSpan().StartsWith(first.Bytes));
            (await mesh.Node.GetAsync(sample.Digest)).ShouldBe(sample.Bytes);
            AssertNoErrors(mesh);
        },
        iter: 6,
        threads: 1);

    [Fact]
    public async Task Push_AnyMessages_NothingWrongIsServedAndOtherOwnersAreHeard() => await Gen.Select(Any, Answers, Gen.Bool, Gen.Bool).SampleAsync(
        async (pushes, answers, isEnding, isHolding) =>
        {
            await using var mesh = await StartAsync();
            var sample = mesh.BlobOwnedBy(Size, mesh.Peer.Name);
            Behave(mesh.Peer, sample, pushes, answers, isEnding, isHolding);

            var answer = await mesh.Node.GetAsync(sample.Digest);
            if (answer.Status is not (HttpStatusCode.TooManyRequests or HttpStatusCode.BadGateway or HttpStatusCode.ServiceUnavailable or HttpStatusCode.GatewayTimeout) && answer.IsComplete)
            {
                answer.ShouldBe(sample.Bytes);
            }

            var other = mesh.BlobOwnedBy(Size, mesh.Node.Name);
            // As its replica it may have told the owner a wrong size, which the registry has contradicted by then.
            _ = await mesh.Node.GetAsync(other.Digest);
            (await mesh.Node.GetAsync(other.Digest)).ShouldBe(other.Bytes);
            AssertNoErrors(mesh);
        },
        iter: 6,
        threads: 1);

    private static LookupResponse With(LookupResponse push, long size, uint pause, string mediaType)
    {
        (push.Size, push.OriginPauseMs, push.MediaType) = (size, pause, mediaType);
        return push;
    }

    private static Task<TestMesh> StartAsync() => TestMesh.StartAsync(peers: 1, time: new QuickTime(10), settings: ["--Peerd:Facade:AnswerTimeout=100s"]);

    private static void Behave(FakePeer peer, SampleContent sample, LookupResponse[] pushes, AnnounceResponse[] answers, bool isEnding, bool isHolding)
    {
        peer.AnswerLookup = async (_, responses, call) =>
        {
            foreach (var push in pushes)
            {
                await responses.WriteAsync(push, call.CancellationToken);
                await Task.Delay(5, call.CancellationToken);
            }

            if (!isEnding)
            {
                await peer.NeverAsync(call);
            }
        };
        var said = 0;
        peer.Unasked = () =>
        {
            var answer = answers[Interlocked.Increment(ref said) % answers.Length].Clone();
            if (said % 2 == 0)
            {
                answer.Discarded.Add(sample.Digest.ToString());
            }

            return answer;
        };
        if (isHolding)
        {
            peer.Answer = async (range, frames, _) =>
            {
                // It may have said that it holds other contents, too.
                foreach (var frame in range.Digest == sample.Digest.ToString() ? FakePeer.Honest(range, sample) : [FakePeer.End(range, RangeStatus.NotHeld)])
                {
                    await frames.WriteAsync(frame);
                }
            };
        }
    }

    // Of the node itself: a body that is cut is an error to the server.
    private static void AssertNoErrors(TestMesh mesh) =>
        Assert.DoesNotContain(mesh.Node.Logs.GetSnapshot(), record => record.Level >= LogLevel.Error && record.Category?.StartsWith("Peerd", StringComparison.Ordinal) == true);
}
