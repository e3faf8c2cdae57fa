using Grpc.Core;
using Peerd.Contracts;
using Peerd.Contracts.V1;
using Peerd.Tests.Hosting;

namespace Peerd.Tests.Mesh;

/// <summary>One range as it was answered.</summary>
internal sealed record AnsweredRange(uint Id, RangeHead? Head, byte[] Bytes, RangeEnd End);

/// <summary>One FetchRange stream of the generated client: what any other implementation of the protocol sees.</summary>
/// <param name="node">Who is asked.</param>
/// <param name="name">The name of the node that asks; none: it does not say.</param>
internal sealed class RangeClient(TestNode node, string? name = null) : IDisposable
{
    private readonly AsyncDuplexStreamingCall<FetchRangeRequest, FetchRangeResponse> _call =
        new PeerService.PeerServiceClient(node.Channel).FetchRange(name is null ? [] : new Metadata { { "peerd-node", name } }, deadline: DateTime.UtcNow + Wait.Longest);

    public Task AskAsync(uint id, Digest digest, long offset = 0, long length = 0, uint deadlineMs = 0) => AskAsync(id, digest.ToString(), offset, length, deadlineMs);

    public Task AskAsync(uint id, string digest, long offset = 0, long length = 0, uint deadlineMs = 0) =>
        SendAsync(new FetchRangeRequest { Range = new FetchRange { Id = id, Digest = digest, Offset = offset, Length = length, DeadlineMs = deadlineMs } });

    public Task CancelAsync(uint id) => SendAsync(new FetchRangeRequest { Cancel = new CancelRange { Id = id } });

    public Task SendAsync(FetchRangeRequest request) => _call.RequestStream.WriteAsync(request);

    public async Task<FetchRangeResponse> NextAsync()
    {
        Assert.True(await _call.ResponseStream.MoveNext(CancellationToken.None), "the stream has ended");
        return _call.ResponseStream.Current;
    }

    /// <summary>The next answer that is not the word that the range waits, which comes whenever the node is quicker than its source.</summary>
    public async Task<FetchRangeResponse> NextButWaitingAsync()
    {
        FetchRangeResponse answer;
        do
        {
            answer = await NextAsync();
        }
        while (answer.Waiting is not null);
        return answer;
    }

    /// <summary>Reads the answer to a range to its end; each frame is where it should be and matches its checksum.</summary>
    public async Task<AnsweredRange> ReadAsync(uint id)
    {
        RangeHead? head = null;
        var bytes = new MemoryStream();
        var expected = -1L;
        while (true)
        {
            var answer = await NextAsync();
            Assert.Equal(id, answer.Id);
            switch (answer.MessageCase)
            {
                case FetchRangeResponse.MessageOneofCase.Head:
                    Assert.Null(head);
                    head = answer.Head;
                    break;
                case FetchRangeResponse.MessageOneofCase.Frame:
                    Assert.NotNull(head);
                    Assert.True(expected < 0 || answer.Frame.Offset == expected, $"a frame at {answer.Frame.Offset} instead of {expected}");
                    ShouldMatch(answer.Frame, head.Size);
                    expected = answer.Frame.Offset + answer.Frame.Data.Length;
                    answer.Frame.Data.WriteTo(bytes);
                    break;
                case FetchRangeResponse.MessageOneofCase.Waiting:
                    break;
                case FetchRangeResponse.MessageOneofCase.End:
                    return new AnsweredRange(id, head, bytes.ToArray(), answer.End);
                default:
                    Assert.Fail("an empty answer");
                    break;
            }
        }
    }

    private static void ShouldMatch(Frame message, long size)
    {
        var data = message.Data.Span;
        foreach (var checksum in (IEnumerable<ulong>)[message.Checksum, .. message.NextChecksums])
        {
            var length = Math.Min(new ContentLayout(size).FrameSize, data.Length);
            Assert.Equal(FrameChecksum.Compute(data[..length]), checksum);
            data = data[length..];
        }

        Assert.True(data.IsEmpty, "bytes without a checksum");
    }

    /// <summary>The status with which the server ended the call.</summary>
    public async Task<Status> ReadToStatusAsync()
    {
        var broken = await Assert.ThrowsAsync<RpcException>(async () =>
        {
            while (await _call.ResponseStream.MoveNext(CancellationToken.None))
            {
            }
        });
        return broken.Status;
    }

    public void Dispose() => _call.Dispose();
}
