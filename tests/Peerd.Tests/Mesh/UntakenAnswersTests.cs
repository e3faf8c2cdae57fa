using System.Diagnostics.Metrics;
using System.Net;
using Google.Protobuf;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Time.Testing;
using Peerd.Contracts.V1;
using Peerd.Node.Limits;
using Peerd.Node.Membership;
using Peerd.Node.Mesh;
using Peerd.Node.Ring;
using Peerd.Tests.Hosting;
using Peerd.Tests.Membership;

namespace Peerd.Tests.Mesh;

/// <summary>Callers that ask and do not take what they are told.</summary>
public sealed class UntakenAnswersTests
{
    private const int BlockBytes = SmallBlocks.Size;

    // Blocks in a share of 16 MiB.
    private const int Share = 4096;

    private static readonly byte[] Tag = new LookupRequest { Tag = new WantTag { Registry = "reg.test", Repository = "a", Tag = "v1" } }.ToByteArray();

    [Theory]
    [InlineData("/grpc.health.v1.Health/Check", 5, false)]
    [InlineData("/peerd.v1.NodeService/GetRing", 250, true)]
    [InlineData("/peerd.v1.PeerService/Lookup", 5, false)]
    public async Task Caller_TakesNoAnswers_LittleIsHeldForThemAndAPullGoesOn(string path, int members, bool isLong)
    {
        await using var mesh = await TestMesh.StartAsync(dead: members, settings: ["--Peerd:Limits:Memory=192MiB"]);
        var callers = new List<RawHttp2>();
        try
        {
            for (var i = 0; i < 20; i++)
            {
                var caller = await RawHttp2.ConnectAsync(mesh.Node.MeshEndPoint);
                callers.Add(caller);
                for (var j = 0; j < 200; j++)
                {
                    await caller.CallAsync(path, path.EndsWith("Lookup", StringComparison.Ordinal) ? Tag : [], (PeerServer.NodeHeader, $"dead-{(i / 4) + 1}"));
                }

                await caller.ReadHeadsAsync();
            }

            // At once: after a while the server itself ends who takes nothing.
            var sample = mesh.BlobOwnedBy(700_000, mesh.Node.Name);
            using var answer = await mesh.Node.SendAsync(sample.Digest);
            Assert.Equal(HttpStatusCode.OK, answer.StatusCode);
            Assert.InRange(mesh.Node.Get<UntakenAnswers>().Bytes, isLong ? BlockBytes : 0, 4 * Share * BlockBytes);
        }
        finally
        {
            callers.ForEach(caller => caller.Dispose());
        }
    }

    [Fact]
    public async Task FlushAsync_OneCallerKeepsMoreThanItsShare_ItLosesItsOldestAndOthersNothing()
    {
        using var setup = new Setup();
        var honest = setup.Write(Caller(1), 1);
        var greedy = Enumerable.Range(0, Share + 10).Select(_ => setup.Write(Caller(2), 1)).ToList();

        Assert.False(honest.IsEnded);
        Assert.All(greedy.Take(10), written => Assert.True(written.IsEnded));
        Assert.All(greedy.Skip(10), written => Assert.False(written.IsEnded));
        Assert.Equal((Share + 1) * BlockBytes, setup.Answers.Bytes);

        // One that is long is as many blocks.
        var last = setup.Write(Caller(2), 5 * BlockBytes);
        Assert.True(greedy[14].IsEnded);
        Assert.False(greedy[15].IsEnded || last.IsEnded);

        foreach (var written in greedy.Append(honest).Append(last))
        {
            await written.TakeAsync();
        }

        Assert.Equal(0, setup.Answers.Bytes);
    }

    [Fact]
    public void FlushAsync_AllKeepMoreThanTheyMay_WhoKeepsMostLosesItsOldest()
    {
        using var setup = new Setup();
        var first = setup.Write(Caller(1), Share * BlockBytes / 2);
        var second = setup.Write(Caller(2), Share * BlockBytes);
        var others = new List<Written> { setup.Write(Caller(3), Share * BlockBytes / 2) };

        // So much may wait for a moment, as when many are told something at once.
        others.Add(setup.Write(Caller(4), 1));
        Assert.DoesNotContain(others.Append(first).Append(second), written => written.IsEnded);

        setup.Time.Advance(UntakenAnswers.Patience);
        others.Add(setup.Write(Caller(5), 1));
        Assert.True(second.IsEnded);
        Assert.DoesNotContain(others.Append(first), written => written.IsEnded);

        // And no more than so much.
        var many = Enumerable.Range(6, 10).Select(i => setup.Write(Caller(i), (Share - i) * BlockBytes)).ToList();
        Assert.True(many[0].IsEnded);
        Assert.False(many[^1].IsEnded);
        Assert.InRange(setup.Answers.Bytes, 1, 4 * Share * BlockBytes);
    }

    [Fact]
    public void FlushAsync_ThisMachine_HasNoShareOfItsOwn()
    {
        using var setup = new Setup();

        Assert.DoesNotContain(Enumerable.Range(0, 2 * Share).Select(_ => setup.Write(IPAddress.Loopback, 1)), written => written.IsEnded);
    }

    private static IPAddress Caller(int number) => new([10, 0, 0, (byte)number]);

    private sealed class Setup : IDisposable
    {
        private readonly ServiceProvider _meters = new ServiceCollection().AddMetrics().BuildServiceProvider();
        private readonly RingSource _rings = new(new TestMembership(MemberList.Empty), TimeProvider.System, NullLogger<RingSource>.Instance);

        public Setup() => Answers = new UntakenAnswers(Options.Create(new LimitOptions()), _rings, new MeshMetrics(_meters.GetRequiredService<IMeterFactory>()), Time);

        public FakeTimeProvider Time { get; } = new();

        public UntakenAnswers Answers { get; }

        public Written Write(IPAddress caller, int bytes)
        {
            // The first is the oldest on a clock that stands still.
            Time.Advance(TimeSpan.FromTicks(1));
            return new Written(Answers, caller, bytes);
        }

        public void Dispose()
        {
            _rings.Dispose();
            _meters.Dispose();
        }
    }

    /// <summary>An answer that was written and waits to be taken.</summary>
    private sealed class Written
    {
        private readonly TaskCompletionSource _taken = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly Task _flushed;

        public Written(UntakenAnswers answers, IPAddress caller, int bytes)
        {
            var answer = answers.Watch(new StreamResponseBodyFeature(new Untaken(_taken.Task)), caller, () => IsEnded = true);
            for (var left = bytes; left > 0; left -= BlockBytes)
            {
                answer.GetMemory(Math.Min(left, BlockBytes));
                answer.Advance(Math.Min(left, BlockBytes));
            }

            _flushed = answer.FlushAsync().AsTask();
        }

        public bool IsEnded { get; private set; }

        public async Task TakeAsync()
        {
            _taken.SetResult();
            await _flushed;
        }
    }

    private sealed class Untaken(Task taken) : MemoryStream
    {
        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => new(taken);
    }
}
